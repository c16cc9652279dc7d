from __future__ import annotations

import contextlib

from edge.stage_times import StageTimes, mean_ms


def test_mean_is_over_all_parts():
    one, other = StageTimes(), StageTimes()
    for part in (one, one, other):
        with part.measure("detect"):
            pass
    with other.measure("embed"):
        pass
    means = mean_ms([one, other])
    assert set(means) == {"detect", "embed"}
    assert all(0 <= value < 1000 for value in means.values())


def test_stage_that_fails_is_timed_too():
    part = StageTimes()
    with contextlib.suppress(ValueError), part.measure("embed"):
        raise ValueError
    assert "embed" in mean_ms([part])


def test_times_taken_elsewhere_count_too():
    part = StageTimes()
    part.add("age", 0.2)
    part.add("age", 0.4)
    assert mean_ms([part]) == {"age": 300.0}
