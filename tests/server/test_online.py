from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from fakes_stream import observation
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.types import FloatArray, Observation
from server.matching.online import MatchChanges, MatchingSettings, OnlineMatcher
from server.matching.tracklets import MaturitySettings, new_tracklet
from server.matching.transitions import TransitionSettings
from server.types import NO_PERSON, PrototypeRef, Tracklet, TrackletName

GROWN = 5
"""Observations after which a tracklet is surely grown-up under default settings."""


@dataclass
class Site:
    """A matcher with an exact gallery kept by hand."""

    settings: MatchingSettings = field(default_factory=MatchingSettings)
    tracklets: dict[TrackletName, Tracklet] = field(default_factory=dict)
    prototypes: dict[PrototypeRef, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.matcher = OnlineMatcher(self.settings, threshold=0.9, next_person_id=1)

    def step(self, *arrivals: tuple[int, int, Sequence[Observation]]) -> MatchChanges:
        """Each arrival is (camera_key, tracklet_id, observations)."""
        resolved = []
        for camera_key, tracklet_id, observations in arrivals:
            name = TrackletName(camera_key, tracklet_id, "s")
            if name not in self.tracklets:
                key = len(self.tracklets) + 1
                self.tracklets[name] = new_tracklet(name, observations[0], tracklet_key=key)
            self.tracklets[name].updated_us = observations[-1].time_us
            resolved.append((self.tracklets[name], observations))
        opened = self.matcher.touch(resolved)
        candidates = [{ref.person_id for ref in self.prototypes} for item in opened]
        changes = self.matcher.decide(opened, candidates)
        self.prototypes.update(changes.prototypes)
        for ref in changes.gone_prototypes:
            self.prototypes.pop(ref, None)
        return changes

    def person(self, camera_key: int, tracklet_id: int) -> int:
        return self.tracklets[TrackletName(camera_key, tracklet_id, "s")].person_id


def seen(person: int, *, start_s: float = 0, count: int = GROWN, noise: float = 0.0) -> list[Observation]:
    return [observation(person, time_s=start_s + index, noise=noise) for index in range(count)]


@pytest.fixture
def site() -> Site:
    return Site()


def test_one_person_in_two_cameras_is_one_identity(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((2, 2, seen(0, start_s=60, noise=0.1)))
    assert site.person(1, 1) == site.person(2, 2) == 1


def test_people_who_look_different_are_different(site: Site) -> None:
    changes = site.step((1, 1, seen(0)), (2, 2, seen(1)))
    assert changes.new_persons == [1, 2]


def test_one_person_first_seen_by_two_cameras_in_one_step_is_one_identity(site: Site) -> None:
    changes = site.step((1, 1, seen(0)), (2, 2, seen(0)))
    assert changes.new_persons == [1]


def test_two_people_of_one_camera_at_one_moment_are_never_one(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((1, 2, seen(0, start_s=2)))
    assert site.person(1, 1) != site.person(1, 2)


def test_of_two_simultaneous_tracklets_the_more_similar_one_gets_the_person(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((2, 2, seen(0, start_s=60, noise=0.4)), (2, 3, seen(0, start_s=60)))
    assert site.person(2, 3) == 1
    assert site.person(2, 2) == 2


def test_poor_crops_do_not_gather_into_one_person(site: Site) -> None:
    poor = [observation(0, quality=0.1)]
    site.step((1, 1, poor))
    changes = site.step((2, 2, poor))
    assert (changes.new_persons, changes.confirmed_persons) == ([2], [])


def test_a_grown_up_tracklet_takes_over_the_person_of_a_poor_crop(site: Site) -> None:
    site.step((1, 1, [observation(0, quality=0.1)]))
    changes = site.step((2, 2, seen(0, start_s=60)))
    assert site.person(2, 2) == 1
    assert (changes.new_persons, changes.confirmed_persons) == ([], [1])


def test_a_person_not_seen_within_the_window_is_not_met_again() -> None:
    site = Site(MatchingSettings(window_s=100))
    site.step((1, 1, seen(0)))
    site.step((1, 2, seen(0, start_s=90)))
    site.step((1, 3, seen(0, start_s=300)))
    assert [site.person(1, number) for number in (1, 2, 3)] == [1, 1, 2]


def test_a_person_made_by_one_young_tracklet_is_folded_when_the_view_gets_clearer(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((2, 2, seen(0, start_s=60, count=1, noise=1.0)))
    assert site.person(2, 2) == 2
    changes = site.step((2, 2, seen(0, start_s=61, count=9)))
    assert site.person(2, 2) == 1
    assert changes.folded_persons == {2: 1}
    assert PrototypeRef(2, 2) not in site.prototypes


def test_a_young_tracklet_leaves_a_person_it_turns_out_not_to_be(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((2, 2, seen(0, start_s=60, count=1, noise=0.4)))
    assert site.person(2, 2) == 1
    changes = site.step((2, 2, seen(1, start_s=61, count=9)))
    assert site.person(2, 2) == 2
    assert changes.folded_persons == {}
    assert site.person(1, 1) == 1


def test_a_grown_up_tracklet_keeps_its_person(site: Site) -> None:
    site.step((1, 1, seen(0)))
    site.step((2, 2, seen(1)))
    site.step((2, 2, seen(0, start_s=60, count=50)))
    assert site.person(2, 2) == 2


def test_a_person_joined_by_others_outlives_the_doubts_of_its_first_tracklet(site: Site) -> None:
    site.step((1, 1, seen(0, count=1)))
    site.step((2, 2, seen(0, count=1)))
    changes = site.step((1, 1, seen(0, start_s=1, count=1)), (2, 2, seen(0, start_s=1, count=1)))
    assert site.person(1, 1) == site.person(2, 2) == 1
    assert (changes.new_persons, changes.folded_persons) == ([], {})


def test_the_weaker_of_two_that_turn_out_to_overlap_goes(site: Site) -> None:
    site.step((1, 1, seen(0, start_s=0)))
    site.step((1, 2, seen(0, start_s=10, count=9)))
    assert site.person(1, 2) == 1
    changes = site.step((1, 1, seen(0, start_s=12, count=1)))
    assert site.person(1, 2) == 1
    assert site.person(1, 1) == 2
    assert set(changes.tracklets) == {1}


def test_a_stronger_newcomer_in_time_drives_out_the_one_that_stood_there(site: Site) -> None:
    site.step((1, 1, seen(0, start_s=0, count=20)))
    site.step((1, 2, seen(0, start_s=30, count=4)))
    changes = site.step((1, 1, seen(0, start_s=32, count=1)))
    assert site.person(1, 1) == 1
    assert site.person(1, 2) == 2
    assert set(changes.tracklets) == {1, 2}


@pytest.mark.parametrize(("most_tracklets", "person_id"), [(0, 8), (500, 7)], ids=["off", "on"])
def test_the_usual_time_between_two_cameras_decides_a_close_case(most_tracklets: int, person_id: int) -> None:
    learning = TransitionSettings(most_tracklets=most_tracklets, interval_s=1.0, half_life_s=1e6, prior=1.0)
    site = Site(MatchingSettings(transitions=learning, camera_prior=1e6))
    # Six people take half a minute from camera 1 to camera 2, one after the other, again and again.
    ways = [(10 * number + way_s, camera, number) for number in range(60) for camera, way_s in ((1, 0), (2, 35))]
    for start_s, camera_key, number in sorted(ways):
        site.step((camera_key, number, seen(number % 6, start_s=start_s)))
    site.step((1, 60, seen(6, start_s=6000)))
    site.step((2, 60, seen(6, start_s=6035, noise=0.5)))
    assert (site.person(1, 60), site.person(2, 60)) == (7, person_id)


def test_persons_that_are_gone_are_no_candidates(site: Site) -> None:
    opened = site.matcher.touch([(new_tracklet(TrackletName(1, 1, "s"), observation(), tracklet_key=1), seen(0))])
    changes = site.matcher.decide(opened, [[99]])
    assert changes.new_persons == [1]


def test_an_empty_step_changes_nothing(site: Site) -> None:
    assert site.step() == MatchChanges()


ARRIVAL = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(0, 2), st.integers(0, 20), st.integers(1, 4))


def play(steps: Sequence[Sequence[tuple[int, int, int, int, int]]]) -> Site:
    site = Site(MatchingSettings(maturity=MaturitySettings(observations=4)))
    for arrivals in steps:
        unique = {(camera_key, tracklet_id): rest for camera_key, tracklet_id, *rest in arrivals}
        site.step(
            *(
                (camera_key, tracklet_id, seen(person, start_s=start_s, count=count))
                for (camera_key, tracklet_id), (person, start_s, count) in unique.items()
            )
        )
    return site


@settings(deadline=None)
@given(st.lists(st.lists(ARRIVAL, max_size=4), max_size=8))
def test_whatever_comes_everybody_has_a_person_and_nobody_is_twice_in_one_camera(
    steps: list[list[tuple[int, int, int, int, int]]],
) -> None:
    site = play(steps)
    tracklets = list(site.tracklets.values())
    assert all(tracklet.person_id != NO_PERSON for tracklet in tracklets)
    for one in tracklets:
        for other in tracklets:
            apart = one.end_us < other.start_us or other.end_us < one.start_us
            assert one is other or apart or one.camera_key != other.camera_key or one.person_id != other.person_id
    assert set(site.prototypes) == {PrototypeRef(t.person_id, t.camera_key) for t in tracklets}


@settings(deadline=None)
@given(st.lists(st.lists(ARRIVAL, max_size=4), max_size=6))
def test_the_same_steps_give_the_same_identities(steps: list[list[tuple[int, int, int, int, int]]]) -> None:
    one, other = play(steps), play(steps)
    assert {name: t.person_id for name, t in one.tracklets.items()} == {
        name: t.person_id for name, t in other.tracklets.items()
    }
    assert all(np.array_equal(one.prototypes[ref], other.prototypes[ref]) for ref in one.prototypes)
