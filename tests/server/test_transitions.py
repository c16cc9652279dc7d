from __future__ import annotations

import pytest
from fakes_stream import SECOND_US, observation

from server.matching.tracklets import MaturitySettings, mean_embedding, new_tracklet, pool
from server.matching.transitions import Transitions, TransitionSettings, learn_transitions
from server.types import Tracklet, TrackletName


def tracklet(key: int, person: int, *, camera_key: int, start_s: float, count: int = 3) -> Tracklet:
    observations = [observation(person, time_s=start_s + index) for index in range(count)]
    made = new_tracklet(TrackletName(camera_key, key, "s"), observations[0], tracklet_key=key)
    pool(made, observations)
    made.person_id = person + 1
    return made


def walkers(*, num: int = 200, way_s: float = 30.0, count: int = 3) -> list[Tracklet]:
    """One after the other walks from camera 1 to camera 2."""
    starts = [(person % 8, 10.0 * person) for person in range(num)]
    first = [tracklet(2 * i, person, camera_key=1, start_s=s, count=count) for i, (person, s) in enumerate(starts)]
    then = [
        tracklet(2 * i + 1, person, camera_key=2, start_s=s + way_s, count=count)
        for i, (person, s) in enumerate(starts)
    ]
    return [*first, *then]


def learned(tracklets: list[Tracklet], *, prior: float = 1.0, half_life_s: float = 1e6) -> Transitions:
    return learn_transitions(
        tracklets,
        [mean_embedding(tracklet) for tracklet in tracklets],
        settings=TransitionSettings(half_life_s=half_life_s, prior=prior, most_tracklets=2048),
        maturity=MaturitySettings(),
        threshold=0.9,
    )


def test_the_usual_time_speaks_for_a_meeting_and_an_unusual_one_against_it() -> None:
    transitions = learned(walkers())
    assert transitions.of(1, 2, 28 * SECOND_US) > 1.0
    assert transitions.of(1, 2, 700 * SECOND_US) < -1.0


def test_what_is_old_counts_less() -> None:
    before, later = walkers(num=60, way_s=30.0), walkers(num=60, way_s=300.0)
    for item in later:
        item.start_us += 10_000 * SECOND_US
        item.end_us += 10_000 * SECOND_US
        item.tracklet_key += 1000
    usual_before = [learned([*before, *later], half_life_s=s).of(1, 2, 28 * SECOND_US) for s in (1e6, 500.0)]
    assert usual_before[0] > 0.5 > 0.0 > usual_before[1]


def test_what_was_never_seen_says_nothing() -> None:
    assert learned(walkers()).of(3, 1, SECOND_US) == 0.0
    assert learned([]).of(1, 2, SECOND_US) == 0.0


def test_young_tracklets_teach_nothing() -> None:
    assert learned(walkers(count=1)) == Transitions({})


def test_one_meeting_says_little() -> None:
    few = [tracklet(1, 0, camera_key=1, start_s=0), tracklet(2, 0, camera_key=2, start_s=30)]
    assert learned(few, prior=20.0).of(1, 2, 28 * SECOND_US) == pytest.approx(0.0, abs=0.1)


def test_the_order_in_which_tracklets_are_given_changes_nothing() -> None:
    people = walkers(num=20)
    one, other = learned(people), learned(people[::-1])
    assert all((one.log_odds[pair] == other.log_odds[pair]).all() for pair in one.log_odds)
