from __future__ import annotations

import pytest

from edge.gaps import GapMeter


def test_the_longest_gap_of_the_watched_stretch_counts_with_the_one_in_which_it_began():
    gaps = GapMeter()
    gaps.note(asked_s=0.0, now_s=9.0)
    gaps.start()
    for now_s in (9.25, 9.5, 9.6):
        gaps.note(asked_s=9.0, now_s=now_s)
    gaps.stop()
    gaps.note(asked_s=9.0, now_s=20.0)
    assert gaps.longest_ms == pytest.approx(250.0)


def test_time_in_which_nobody_asked_is_no_gap():
    gaps = GapMeter()
    gaps.start()
    gaps.note(asked_s=4.9, now_s=5.0)
    gaps.note(asked_s=64.95, now_s=65.0)
    assert gaps.longest_ms == pytest.approx(100.0)


def test_a_new_stretch_begins_at_nothing():
    gaps = GapMeter()
    gaps.start()
    gaps.note(asked_s=0.0, now_s=1.0)
    gaps.start()
    assert gaps.longest_ms == 0.0
