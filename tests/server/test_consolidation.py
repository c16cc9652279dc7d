from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.matching.consolidation import ConsolidationSettings, Regrouping, consolidate
from server.matching.links import Word
from server.matching.tracklets import MaturitySettings, overlap
from server.types import Tracklet

DIM = 16
CAMERAS = 3
THRESHOLD = 0.8


def face(person: int, seed: int = 0, *, noise: float = 0.25) -> np.ndarray:
    rng = np.random.default_rng([person, seed])
    vector = np.eye(DIM, dtype=np.float32)[person % DIM] + rng.normal(0, noise / 4, DIM).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def tracklet(key: int, looks_like: int, person_id: int, *, camera: int = 1, start: int | None = None) -> Tracklet:
    start_us = 100 * key if start is None else start
    return Tracklet(
        tracklet_key=key,
        camera_key=camera,
        tracklet_id=key,
        space="s",
        start_us=start_us,
        end_us=start_us + 50,
        num_observations=4,
        weight=4.0,
        embedding_sum=4 * face(looks_like, key),
        person_id=person_id,
    )


def pair_of_cosine(cosine: float) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.eye(DIM, dtype=np.float32)[:2]
    return one, np.float32(cosine) * one + np.float32(np.sqrt(1 - cosine**2)) * other


def run(tracklets: Sequence[Tracklet], words: Sequence[Word] = (), **changed: float) -> list[Regrouping]:
    return consolidate(
        tracklets,
        words,
        settings=ConsolidationSettings(**changed),
        maturity=MaturitySettings(),
        threshold=THRESHOLD,
        next_person_id=1 + max((item.person_id for item in tracklets), default=0),
    )


def after(tracklets: Sequence[Tracklet], words: Sequence[Word] = (), **changed: float) -> dict[int, int]:
    found = {item.tracklet_key: item.person_id for item in tracklets}
    for regrouping in run(tracklets, words, **changed):
        found.update(regrouping.moves)
    return found


def partition(person_of: dict[int, int]) -> set[frozenset[int]]:
    return {frozenset(k for k, p in person_of.items() if p == person) for person in person_of.values()}


def test_two_persons_who_look_alike_become_the_one_with_more_views() -> None:
    tracklets = [tracklet(1, 0, 5), tracklet(2, 0, 3), tracklet(3, 0, 5), tracklet(4, 1, 7)]
    (regrouping,) = run(tracklets)
    assert (dict(regrouping.moves), regrouping.new_persons) == ({2: 5}, ())
    assert regrouping.folded_persons == {3: 5}
    assert regrouping.before == {1: 5, 2: 3, 3: 5}


def test_a_person_of_two_looks_is_split_and_the_larger_part_keeps_the_id() -> None:
    tracklets = [tracklet(1, 0, 5), tracklet(2, 0, 5), tracklet(3, 1, 5), tracklet(4, 2, 6), tracklet(5, 2, 6)]
    (regrouping,) = run(tracklets)
    assert (dict(regrouping.moves), regrouping.new_persons, regrouping.folded_persons) == ({3: 7}, (7,), {})


def test_who_is_right_already_stays() -> None:
    assert run([tracklet(key, key % 3, 1 + key % 3) for key in range(1, 13)]) == []
    assert run([tracklet(1, 0, 1)]) == []
    assert run([]) == []


def test_changes_that_do_not_touch_one_another_come_apart() -> None:
    tracklets = [tracklet(1, 0, 1), tracklet(2, 0, 2), tracklet(3, 1, 3), tracklet(4, 1, 4)]
    assert [sorted(item.before.values()) for item in run(tracklets)] == [[1, 2], [3, 4]]


def test_two_in_one_camera_at_one_moment_stay_two() -> None:
    tracklets = [tracklet(1, 0, 1, start=0), tracklet(2, 0, 2, start=10), tracklet(3, 0, 2, camera=2)]
    assert partition(after(tracklets)) in [{frozenset({1}), frozenset({2, 3})}, {frozenset({1, 3}), frozenset({2})}]


@pytest.mark.parametrize(
    ("words", "together"),
    [
        ([Word(1, 4, True)], True),
        ([Word(1, 4, False), Word(1, 4, True)], True),
        ([Word(1, 4, True), Word(1, 4, False)], False),
    ],
    ids=["said", "said last", "taken back"],
)
def test_an_operators_last_word_on_strangers_holds(words: list[Word], together: bool) -> None:
    tracklets = [tracklet(1, 0, 1), tracklet(2, 0, 1), tracklet(4, 2, 1), tracklet(5, 2, 1)]
    found = after(tracklets, words)
    assert (found[1] == found[4]) is together


def test_an_operators_merge_of_strangers_holds_for_all_their_tracklets() -> None:
    tracklets = [tracklet(key, key % 2, 1) for key in range(1, 9)]
    assert run(tracklets, [Word(1, key, True) for key in range(2, 9)]) == []
    assert run(tracklets) != []


def test_an_operators_split_of_one_who_looks_alike_holds() -> None:
    tracklets = [tracklet(1, 0, 1), tracklet(2, 0, 2)]
    assert after(tracklets, [Word(1, 2, False), Word(1, 99, True)]) == {1: 1, 2: 2}


def test_a_word_never_brings_two_of_one_moment_together() -> None:
    tracklets = [tracklet(1, 0, 1, start=0), tracklet(2, 0, 2, start=10)]
    assert after(tracklets, [Word(1, 2, True)]) == {1: 1, 2: 2}


def test_a_sum_without_direction_joins_nobody() -> None:
    empty = tracklet(2, 0, 2)
    empty.embedding_sum = np.zeros(DIM, dtype=np.float32)
    assert after([tracklet(1, 0, 1), empty, tracklet(3, 0, 1)]) == {1: 1, 2: 2, 3: 1}


def test_a_person_cut_in_two_halves_is_joined() -> None:
    tracklets = [tracklet(key, key % 3, 1 + key % 3, camera=1 + key % 2) for key in range(1, 13)]
    for item in tracklets[6:]:
        item.person_id += 3 * (item.person_id == 1)
    assert partition(after(tracklets)) == {frozenset({1, 4, 7, 10}), frozenset({2, 5, 8, 11}), frozenset({3, 6, 9, 12})}


@pytest.mark.parametrize("persons", [(1, 1), (1, 2)], ids=["together", "apart"])
def test_what_is_neither_clearly_one_nor_clearly_two_stays_as_it_is(persons: tuple[int, int]) -> None:
    between = THRESHOLD - 0.48 * (1 - THRESHOLD)
    one, other = tracklet(1, 0, persons[0]), tracklet(2, 0, persons[1])
    one.embedding_sum, other.embedding_sum = pair_of_cosine(between)
    assert run([one, other]) == []


def test_a_tracklet_of_a_poor_crop_counts_little() -> None:
    poor = tracklet(3, 1, 2)
    poor.weight, poor.embedding_sum = 0.05, 0.05 * face(1)
    tracklets = [tracklet(1, 0, 1), tracklet(2, 0, 2), poor]
    assert partition(after(tracklets)) == {frozenset({1, 2}), frozenset({3})}


@pytest.mark.parametrize(("camera_prior", "num_found"), [(1.0, 8), (1e9, 16)], ids=["trusted", "not trusted"])
def test_what_is_common_to_a_camera_is_taken_away(camera_prior: float, num_found: int) -> None:
    tracklets = [tracklet(key, key % 8, 1 + key % 16, camera=1 + key % 16 // 8) for key in range(64)]
    for item in tracklets:
        item.embedding_sum[DIM - 1] += 4.5 * (item.camera_key == 2)
    found = after(tracklets, camera_prior=camera_prior)
    assert len(partition(found)) == num_found


def test_a_split_easier_than_a_join_is_refused() -> None:
    with pytest.raises(ValueError, match=r"split_slack is 0\.2 and slack 0\.4"):
        ConsolidationSettings(split_slack=0.2, slack=0.4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, CAMERAS)), max_size=30))
def test_correct_persons_stay_as_they_are(seen: list[tuple[int, int]]) -> None:
    assert run([tracklet(key, who, 1 + who, camera=camera) for key, (who, camera) in enumerate(seen)]) == []


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[Tracklet], list[Word]]:
    count = draw(st.integers(2, 14))
    tracklets = [
        tracklet(
            key,
            draw(st.integers(0, 3)),
            draw(st.integers(1, 4)),
            camera=draw(st.integers(1, CAMERAS)),
            start=draw(st.integers(0, 10)) * 40,
        )
        for key in range(1, count + 1)
    ]
    keys = st.integers(1, count)
    pairs = st.tuples(keys, keys).filter(lambda ab: ab[0] != ab[1])
    return tracklets, [
        Word(*ab, is_together) for ab, is_together in draw(st.lists(st.tuples(pairs, st.booleans()), max_size=4))
    ]


@settings(max_examples=60, deadline=None)
@given(windows(), st.randoms(use_true_random=False))
def test_constraints_hold_ids_are_known_and_order_does_not_matter(
    window: tuple[list[Tracklet], list[Word]], chance: random.Random
) -> None:
    tracklets, words = window
    found = after(tracklets, words)
    for one, other in combinations(tracklets, 2):
        assert found[one.tracklet_key] != found[other.tracklet_key] or not overlap(one, other)
    if words and not words[-1].is_together:
        assert found[words[-1].one] != found[words[-1].other]
    shuffled = list(tracklets)
    chance.shuffle(shuffled)
    assert after(shuffled, words) == found
    for regrouping in run(tracklets, words):
        assert set(regrouping.moves.values()) <= {*regrouping.before.values(), *regrouping.new_persons}
        left = {regrouping.moves.get(key, person) for key, person in regrouping.before.items()}
        assert set(regrouping.folded_persons) == set(regrouping.before.values()) - left


@settings(max_examples=25, deadline=None)
@given(windows())
def test_a_second_consolidation_changes_nothing(window: tuple[list[Tracklet], list[Word]]) -> None:
    tracklets, words = window
    for item, person_id in zip(tracklets, after(tracklets, words).values(), strict=True):
        item.person_id = person_id
    assert run(tracklets, words) == []
