from __future__ import annotations

import numpy as np
import pytest
from fakes_stream import look

from server.matching.camera_means import CameraMeans


def means_of_two_cameras(*, persons: int) -> CameraMeans:
    means = CameraMeans(prior=10.0)
    for _ in range(persons):
        means.add(1, look(0), 1.0, new_persons=1)
        means.add(2, look(1), 1.0, new_persons=1)
    means.refresh()
    return means


def test_what_is_common_to_a_camera_is_its_difference_to_the_mean_of_all() -> None:
    means = means_of_two_cameras(persons=10)
    assert np.allclose(means.offset(1), 0.5 * (look(0) - look(1)) / 2)
    assert np.allclose(means.offset(2), 0.5 * (look(1) - look(0)) / 2)


def test_a_camera_that_saw_few_people_keeps_most_of_its_mean() -> None:
    assert means_of_two_cameras(persons=1).trust(1) == pytest.approx(1 / 11)
    assert means_of_two_cameras(persons=90).trust(1) == pytest.approx(0.9)


def test_an_unknown_camera_has_nothing_taken_away() -> None:
    means = means_of_two_cameras(persons=10)
    assert (means.offset(3), means.trust(3)) == (0.0, 0.0)


def test_what_is_taken_back_leaves_no_trace() -> None:
    means = CameraMeans(prior=10.0)
    means.add(1, look(0), 1.0, new_persons=1)
    means.add(2, look(1), 1.0, new_persons=1)
    means.add(2, -look(1), -1.0, new_persons=-1)
    means.refresh()
    assert np.allclose(means.offset(1), 0)
    assert means.trust(2) == 0


def test_means_stay_until_there_is_notably_more() -> None:
    means = means_of_two_cameras(persons=50)
    before = means.version
    means.add(1, look(2), 1.0, new_persons=1)
    means.refresh()
    assert means.version == before
    means.add(1, 9 * look(2), 9.0, new_persons=9)
    means.refresh()
    assert means.version > before
