from __future__ import annotations

import contextlib

import pytest

from reid.durations import BOUNDS_S, Durations, merged, quantile_s


def filled(*durations_s: float) -> Durations:
    durations = Durations()
    for duration_s in durations_s:
        durations.add(duration_s)
    return durations


def test_each_duration_counts_for_its_bound_and_all_above() -> None:
    rows = dict(filled(0.001, 0.0011, 0.3, 99.0).cumulative())
    assert (rows[0.0005], rows[0.001], rows[0.0025], rows[0.5]) == (0, 1, 2, 3)
    assert (rows[BOUNDS_S[-1]], rows[float("inf")]) == (3, 4)


def test_sum_and_count_of_parts_add_up() -> None:
    whole = merged([filled(0.1, 0.2), filled(), filled(0.3)])
    assert (whole.count, whole.total_s) == (3, pytest.approx(0.6))


def test_a_block_that_fails_is_counted() -> None:
    durations = Durations()
    with contextlib.suppress(ValueError), durations.measure():
        raise ValueError
    assert durations.count == 1


def test_quantiles_lie_on_a_line_within_their_bucket() -> None:
    rows = filled(*[0.07] * 50, *[0.2] * 50).cumulative()
    assert quantile_s(rows, 0.25) == pytest.approx(0.075)
    assert quantile_s(rows, 1.0) == pytest.approx(0.25)


@pytest.mark.parametrize(("durations_s", "expected_s"), [((), 0.0), ((60.0,), BOUNDS_S[-1])], ids=["none", "beyond"])
def test_quantile_at_the_ends(durations_s: tuple[float, ...], expected_s: float) -> None:
    assert quantile_s(filled(*durations_s).cumulative(), 0.99) == expected_s
