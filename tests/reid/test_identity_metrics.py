import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.identity_metrics import cross_camera_pairs, idf1, majority


def ints(*values: int):
    return np.array(values, dtype=np.int64)


labels = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4), st.integers(0, 2)), min_size=0, max_size=14).map(
    lambda rows: np.array(rows, dtype=np.int64).reshape(-1, 3).T
)


def test_pairs_by_hand():
    # Person 1 in cameras 0, 1, 2; person 2 in cameras 0 and 1, where the system took the second for person 1.
    scores = cross_camera_pairs(ints(1, 1, 1, 2, 2), ints(7, 7, 7, 8, 7), ints(0, 1, 2, 0, 1))
    assert (scores.num_true, scores.num_claimed, scores.num_right) == (4, 5, 3)
    assert scores.precision == pytest.approx(3 / 5)
    assert scores.recall == pytest.approx(3 / 4)
    assert scores.f1 == pytest.approx(6 / 9)


def test_pairs_within_one_camera_do_not_count():
    assert cross_camera_pairs(ints(1, 1), ints(5, 6), ints(0, 0)).num_true == 0


def test_nobody_is_never_the_same_as_nobody():
    scores = cross_camera_pairs(ints(-1, -1), ints(-1, -1), ints(0, 1))
    assert (scores.num_true, scores.num_claimed, scores.f1) == (0, 0, 1.0)


@given(labels)
def test_pairs_agree_with_counting_one_by_one(columns):
    pids, found, cameras = columns
    pairs = [(a, b) for a, b in itertools.combinations(range(len(pids)), 2) if cameras[a] != cameras[b]]
    is_true = [pids[a] == pids[b] != -1 for a, b in pairs]
    is_claimed = [found[a] == found[b] != -1 for a, b in pairs]
    scores = cross_camera_pairs(pids, found, cameras)
    assert scores.num_true == sum(is_true)
    assert scores.num_claimed == sum(is_claimed)
    assert scores.num_right == sum(map(all, zip(is_true, is_claimed, strict=True)))


@given(labels)
def test_scores_do_not_depend_on_the_names_of_persons(columns):
    pids, found, cameras = columns
    renamed = np.where(found == -1, -1, 100 - found)
    assert cross_camera_pairs(pids, found, cameras) == cross_camera_pairs(pids, renamed, cameras)
    assert idf1(pids, found) == idf1(pids, renamed)


def test_idf1_by_hand():
    # Person 1: 3 of 4 boxes under identity 9; person 2: its 2 boxes under 8; one ghost under 8.
    assert idf1(ints(1, 1, 1, 1, 2, 2, -1), ints(9, 9, 9, 8, 8, 8, 8)) == pytest.approx(2 * 5 / (6 + 7))


def test_idf1_pairs_globally_not_greedily():
    # Greedy would give identity 5 to person 1 (3 boxes) and leave person 2 nothing.
    pids = ints(*[1] * 3, *[1] * 2, *[2] * 2)
    found = ints(*[5] * 3, *[6] * 2, *[5] * 2)
    assert idf1(pids, found) == pytest.approx(2 * 4 / 14)


def test_idf1_of_missed_people_and_of_nothing():
    assert idf1(ints(1, 2), ints(-1, -1)) == 0.0
    assert idf1(ints(), ints()) == 1.0


@given(labels)
def test_idf1_is_a_share_and_one_for_the_truth(columns):
    pids, found, _ = columns
    assert 0.0 <= idf1(pids, found) <= 1.0
    assert idf1(pids, pids) == 1.0


def test_labels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"different lengths \[1, 2\]"):
        idf1(ints(1), ints(1, 2))


@pytest.mark.parametrize(("pids", "winner"), [((3, 3, -1), 3), ((2, 1), 1), ((-1, -1, 4), -1), ((), -1)])
def test_majority(pids, winner):
    assert majority(ints(*pids)) == winner
