import numpy as np
import pytest

from demo.truth import Span, StoredSighting, StoredTracklet, pid_of, score
from reid.types import Box
from simulation.site import SimulatedPerson, SimulatedSite, SiteConfig

START_US = 1_000_000_000
ALWAYS = Span(0.0, 1e9)


@pytest.fixture(scope="module")
def site() -> SimulatedSite:
    return SimulatedSite(SiteConfig(seed=2, num_people=5, num_cameras=2, duration_s=30, fps_hz=4))


def true_tracklets(site: SimulatedSite) -> list[StoredTracklet]:
    """What a perfect system would store: one tracklet for each person and camera."""
    tracklets = []
    for camid in site.camids:
        seen: dict[int, list[StoredSighting]] = {}
        for index in range(site.num_frames):
            for person in site.people_in(camid, index):
                if person.visible_fraction > 0.9:
                    moment_us = START_US + round(index * 1e6 / site.config.fps_hz)
                    seen.setdefault(person.pid, []).append(StoredSighting(moment_us, person.box))
        tracklets += [StoredTracklet(camid, 100 + pid, tuple(sightings)) for pid, sightings in seen.items()]
    return tracklets


def test_a_perfect_system_scores_one(site):
    scores = score(site, true_tracklets(site), start_us=START_US, within=ALWAYS)
    assert scores.pairs.num_true > 0
    assert (scores.pairs.f1, scores.idf1) == (1.0, 1.0)
    assert scores.num_persons == len({tracklet.person_id for tracklet in true_tracklets(site)})


def test_taking_everybody_for_one_person_costs_precision(site):
    tracklets = [tracklet._replace(person_id=1) for tracklet in true_tracklets(site)]
    scores = score(site, tracklets, start_us=START_US, within=ALWAYS)
    assert scores.pairs.recall == 1.0
    assert scores.pairs.precision < 0.7
    assert scores.num_persons == 1


def test_taking_every_tracklet_for_somebody_new_costs_recall(site):
    tracklets = [tracklet._replace(person_id=n) for n, tracklet in enumerate(true_tracklets(site))]
    scores = score(site, tracklets, start_us=START_US, within=ALWAYS)
    assert scores.pairs.recall == 0.0
    assert scores.pairs.precision == 1.0


def test_only_what_begins_within_the_span_counts(site):
    tracklets = true_tracklets(site)
    halves = [score(site, tracklets, start_us=START_US, within=span) for span in (Span(0, 15), Span(15, 30))]
    assert sum(half.num_tracklets for half in halves) == len(tracklets)
    assert 0 < halves[1].num_tracklets < len(tracklets)


def test_nothing_stored_is_nobody_found(site):
    scores = score(site, [], start_us=START_US, within=ALWAYS)
    assert scores.num_persons == 0
    assert 1 <= scores.num_people <= 5


def test_sightings_outside_the_recording_are_compared_with_its_ends(site):
    late = StoredSighting(START_US + 10**9, Box(0, 0, 1, 1))
    assert score(site, [StoredTracklet("c1", 1, (late,))], start_us=START_US, within=ALWAYS).idf1 == 0.0


def test_a_box_belongs_to_whom_it_overlaps_most_or_to_nobody():
    people = [SimulatedPerson(1, Box(0, 0, 10, 20), 1.0), SimulatedPerson(2, Box(4, 0, 14, 20), 1.0)]
    assert pid_of(Box(3, 0, 13, 20), people) == 2
    assert pid_of(Box(50, 0, 60, 20), people) == -1
    assert pid_of(Box(0, 0, 1, 1), []) == -1
    assert np.isclose(people[0].box.iou(people[1].box), 6 / 14)
