from __future__ import annotations

from server.matching.assignment import best_assignment, exclusive_groups


def test_the_best_sum_wins_over_the_best_single_match() -> None:
    assert best_assignment([{7: 0.9, 8: 0.8}, {7: 0.7}]) == {0: 8, 1: 7}


def test_nobody_is_given_a_person_that_was_not_offered() -> None:
    assert best_assignment([{7: 0.9}, {7: 0.7}]) == {0: 7}
    assert best_assignment([{}]) == {}


def test_of_equal_gains_the_older_person_wins() -> None:
    assert best_assignment([{9: 0.5, 8: 0.5}]) == {0: 8}


def test_spans_that_touch_in_one_camera_are_one_group() -> None:
    spans = [(1, 0, 10), (2, 0, 10), (1, 20, 30), (1, 10, 15), (1, 16, 18)]
    assert exclusive_groups(spans) == [[0, 3], [4], [2], [1]]


def test_no_spans_are_no_groups() -> None:
    assert exclusive_groups([]) == []
