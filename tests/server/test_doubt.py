from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import pytest

from reid.types import FloatArray
from server.matching.consolidation import ConsolidationSettings
from server.matching.doubt import DoubtfulPair, doubtful_pairs
from server.matching.links import Word
from server.matching.tracklets import MaturitySettings
from server.types import Tracklet

DIM = 16
SETTINGS = ConsolidationSettings(slack=0.0, split_slack=0.0, camera_prior=1e9)
THRESHOLD = 0.6


def turned(person: int, cosine: float) -> FloatArray:
    """A look with this cosine to the first look of a person, and none to anybody else's."""
    vector = np.zeros(DIM, dtype=np.float32)
    vector[person], vector[DIM - 1 - person] = cosine, np.sqrt(1.0 - cosine**2)
    return vector


def spread(axis: int) -> FloatArray:
    """A look with a cosine of 0.6 to that of every other axis."""
    vector = np.zeros(DIM, dtype=np.float32)
    vector[0], vector[axis] = np.sqrt(0.6), np.sqrt(0.4)
    return vector


def tracklet(
    key: int, person_id: int, look: FloatArray, *, start_us: int | None = None, weight: float = 4.0
) -> Tracklet:
    start_us = 100 * key if start_us is None else start_us
    return Tracklet(
        tracklet_key=key,
        camera_key=1,
        tracklet_id=key,
        space="s",
        start_us=start_us,
        end_us=start_us + 50,
        num_observations=4,
        weight=weight,
        embedding_sum=np.float32(weight) * look,
        person_id=person_id,
    )


def asked(
    tracklets: Sequence[Tracklet],
    words: Sequence[Word] = (),
    *,
    most: int = 9,
    pictured: Container[int] = (),
    threshold: float = THRESHOLD,
) -> list[DoubtfulPair]:
    return doubtful_pairs(
        tracklets,
        words,
        settings=SETTINGS,
        maturity=MaturitySettings(),
        threshold=threshold,
        log_odds_per_cosine=20.0,
        most=most,
        pictured=pictured,
    )


def persons(pairs: Sequence[DoubtfulPair]) -> list[tuple[int, int]]:
    return [(pair.one.person_id, pair.other.person_id) for pair in pairs]


def test_two_persons_at_the_bound_are_asked_about_before_those_far_from_it() -> None:
    pairs = asked(
        [
            tracklet(1, 1, turned(0, 1.0)),
            tracklet(2, 2, turned(0, THRESHOLD)),
            tracklet(3, 3, turned(1, 1.0)),
            tracklet(4, 4, turned(1, 0.7)),
        ]
    )
    assert persons(pairs) == [(1, 2), (3, 4)]
    assert pairs[0].similarity == pytest.approx(THRESHOLD, abs=1e-6)
    assert pairs[0].probability == pytest.approx(0.5, abs=1e-5)
    assert pairs[1].probability == pytest.approx(1 / (1 + np.exp(-20 * 0.1)), abs=1e-5)


def test_of_equal_doubt_the_pair_with_more_tracklets_comes_first() -> None:
    few = [tracklet(1, 1, turned(0, 1.0)), tracklet(2, 2, turned(0, 0.6))]
    many = [tracklet(key, 3 + key % 2, turned(1, (0.6, 1.0)[key % 2])) for key in range(3, 9)]
    pairs = asked([*few, *many])
    assert persons(pairs) == [(3, 4), (1, 2)]
    assert (pairs[0].stake, pairs[1].stake) == (pytest.approx(1.5, abs=1e-3), pytest.approx(0.5, abs=1e-3))


def test_halves_of_one_person_are_the_two_that_were_wrongly_joined() -> None:
    looks = [turned(0, cosine) for cosine in (1.0, 0.45, 1.0, 0.46, 1.0)]
    (pair,) = asked([tracklet(key, 7, look) for key, look in enumerate(looks, 1)])
    assert pair.is_together
    assert (pair.one.tracklet_keys, pair.other.tracklet_keys) == ((1, 3, 5), (2, 4))
    assert 0.02 < pair.probability < 0.2


def test_the_face_of_a_side_is_the_tracklet_seen_best() -> None:
    looks = [tracklet(1, 1, turned(0, 1.0)), tracklet(2, 1, turned(0, 1.0), weight=9.0), tracklet(3, 2, turned(0, 0.6))]
    assert asked(looks)[0].one.face == 2


def test_a_side_shows_a_tracklet_with_pictures_rather_than_the_one_seen_best() -> None:
    looks = [tracklet(1, 1, turned(0, 1.0)), tracklet(2, 1, turned(0, 1.0), weight=9.0), tracklet(3, 2, turned(0, 0.6))]
    assert asked(looks, pictured={1, 3})[0].one.face == 1


def test_two_in_one_camera_at_one_moment_are_not_asked_about() -> None:
    assert asked([tracklet(1, 1, turned(0, 1.0)), tracklet(2, 2, turned(0, 0.6), start_us=110)]) == []


@pytest.mark.parametrize("is_together", [True, False], ids=["same", "different"])
def test_what_was_said_of_two_persons_is_not_asked_again(is_together: bool) -> None:
    pair = [tracklet(1, 1, turned(0, 1.0)), tracklet(2, 2, turned(0, 0.6))]
    assert asked(pair, [Word(2, 1, is_together)]) == []


def test_what_was_said_to_be_one_person_is_never_parted() -> None:
    looks = [spread(axis) for axis in (1, 2, 3)]
    person = [tracklet(key, 7, look) for key, look in enumerate(looks, 1)]
    (pair,) = asked(person, [Word(1, 2, is_together=True)])
    assert {pair.one.tracklet_keys, pair.other.tracklet_keys} == {(1, 2), (3,)}
    assert asked(person, [Word(1, 2, is_together=True), Word(3, 1, is_together=True)]) == []


def test_nobody_is_in_two_pairs() -> None:
    pairs = asked([tracklet(key, key, spread(key)) for key in range(1, 5)])
    met = [person_id for pair in persons(pairs) for person_id in pair]
    assert len(met) == len(set(met)) == 4


def test_no_more_pairs_come_than_are_wanted_and_none_of_a_single_tracklet() -> None:
    many = [tracklet(key, key, turned(key // 2, 0.6 if key % 2 else 1.0)) for key in range(1, 9)]
    assert len(asked(many, most=2)) == 2
    assert asked(many[:1]) == []


def test_the_order_of_the_tracklets_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    looks = rng.normal(size=(600, DIM)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    crowd = [tracklet(key, 1 + key % 290, look) for key, look in enumerate(looks, 1)]
    found = asked(crowd, most=50, threshold=0.1)
    assert asked(crowd[::-1], most=50, threshold=0.1) == found
    assert len(found) == 50
