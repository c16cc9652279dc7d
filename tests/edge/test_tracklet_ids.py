from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.tracklet_ids import TrackletIds

NOW_MS = 1_790_000_000_000


def test_ids_are_positive_64_bit_and_rise():
    ids = TrackletIds(NOW_MS)
    first, second = ids.next_id(), ids.next_id()
    assert 0 < first < second < 1 << 63


def test_later_start_never_meets_the_ids_of_an_earlier_one():
    earlier, later = TrackletIds(NOW_MS), TrackletIds(NOW_MS + 1)
    assert later.next_id() - earlier.next_id() == 1 << 22


def test_threads_never_get_the_same_id():
    ids = TrackletIds(NOW_MS)
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: ids.next_id(), range(2000)))
    assert len(set(taken)) == 2000


@pytest.mark.parametrize("start_ms", [0, -5, 1 << 41])
def test_start_that_does_not_fit_is_refused(start_ms):
    with pytest.raises(ValueError, match="start_ms"):
        TrackletIds(start_ms)
