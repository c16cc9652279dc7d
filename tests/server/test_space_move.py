from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fakes_spaces import (
    MIDDLE,
    NEW,
    OLD,
    Fleet,
    Walk,
    assert_alike,
    crowd,
    family_parts,
    hours_later,
    move,
    rotation,
    walks_of,
)
from fakes_stream import DIM, ServerParts
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import GalleryError, StorageError
from server.gallery.local import LocalGallery
from server.identities import Identities
from server.spaces import ServedSpace
from server.storage.members import SqlMembers
from server.types import Actor

ANN = Actor("ann", "operator")


@pytest.fixture
def fleet(parts: ServerParts) -> Fleet:
    """Edges of a family of releases, and what three of them have sent to a server of the oldest."""
    made = Fleet(family_parts(parts))
    for walk, served in zip(walks_of([0, 1, 0, 2]), (OLD, MIDDLE, NEW, OLD), strict=True):
        made.send(walk, served)
    return made


def restarted(fleet: Fleet, served: ServedSpace) -> ServerParts:
    """What a server of this space reads from the same records."""
    return replace(fleet.parts, serves=served)


@given(st.integers(0, 10_000), st.sampled_from([MIDDLE, NEW]), st.integers(0, 12), st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_move_is_what_reading_all_anew_would_be(seed: int, to: ServedSpace, at: int, forgets: bool) -> None:
    with TemporaryDirectory() as plain_folder, TemporaryDirectory() as folder:
        plain, fleet = Fleet(ServerParts(Path(plain_folder))), Fleet(family_parts(ServerParts(Path(folder))))
        for number, walk in enumerate(crowd(seed)):
            if number == at:
                if forgets:
                    hours_later(fleet.parts)
                    hours_later(plain.parts)
                move(fleet.parts, to)
                assert_alike(fleet.parts, restarted(fleet, to))
            plain.send(walk)
            fleet.send(walk, (OLD, to)[seed >> number & 1])
        assert fleet.persons() == plain.persons()
        if at < 12:
            assert_alike(fleet.parts, restarted(fleet, to))


def test_moves_there_and_back_again_and_on_lose_nothing(fleet: Fleet) -> None:
    for served in (MIDDLE, OLD, NEW, MIDDLE, NEW):
        move(fleet.parts, served)
        assert_alike(fleet.parts, restarted(fleet, served))


def test_after_a_move_the_threshold_is_the_new_releases(fleet: Fleet) -> None:
    move(fleet.parts, NEW)
    assert fleet.parts.ingest.spaces.served == NEW
    assert fleet.parts.ingest._matcher.threshold == NEW.threshold


def test_what_happens_while_a_move_is_prepared_is_in_it(fleet: Fleet) -> None:
    ingest = fleet.parts.ingest
    begun = ingest.begin_move(NEW, LocalGallery(DIM))
    fleet.send(Walk(person=1, camera=1, start_s=200, tracklet_id=20), NEW)  # grows a person
    fleet.send(Walk(person=4, camera=2, start_s=220, tracklet_id=21), OLD)  # a new one
    begun.prepare()
    ingest.let_go(fleet.parts.records.erase_person(3, ANN, 1, spaces=ingest.spaces).tracklets)
    fleet.send(Walk(person=4, camera=3, start_s=240, tracklet_id=22), MIDDLE)
    ingest.finish_move(begun, lambda: None)
    fleet.parts.gallery = begun.gallery
    assert_alike(fleet.parts, restarted(fleet, NEW))


def test_memory_read_anew_while_a_move_is_prepared_is_no_harm(fleet: Fleet) -> None:
    begun = fleet.parts.ingest.begin_move(MIDDLE, LocalGallery(DIM))
    begun.prepare()
    fleet.parts.records.num_failures = 1
    with pytest.raises(StorageError):
        fleet.send(Walk(person=1, camera=1, start_s=300, tracklet_id=30))
    fleet.parts.ingest.finish_move(begun, lambda: None)
    fleet.parts.gallery = begun.gallery
    assert_alike(fleet.parts, restarted(fleet, MIDDLE))


def test_a_tracklet_goes_on_growing_over_a_move(fleet: Fleet) -> None:
    walk = walks_of([0, 1, 0, 2])[3]
    move(fleet.parts, MIDDLE)
    fleet.send(replace(walk, start_s=66, seed=7), OLD)
    move(fleet.parts, NEW)
    fleet.send(replace(walk, start_s=72, seed=8), OLD)
    assert_alike(fleet.parts, restarted(fleet, NEW))
    (grown,) = (one for one in fleet.parts.records.iter_tracklets(fleet.parts.ingest.spaces) if one.tracklet_key == 4)
    assert grown.native_sum is not None
    natives = [replace(walk, start_s=0, seed=seed).embeddings(OLD) for seed in (walk.seed, 7, 8)]
    assert np.allclose(grown.native_sum, np.sum(np.concatenate(natives), axis=0), atol=1e-4)


def test_what_was_embedded_again_takes_the_place_of_what_is_mapped(fleet: Fleet) -> None:
    fleet.parts.records.put_tracklet_means(NEW.space, {1: rotation(7)[0], 4: rotation(7)[1]})
    begun = fleet.parts.ingest.begin_move(NEW, LocalGallery(DIM))
    begun.prepare()
    fleet.send(Walk(person=2, camera=1, start_s=400, tracklet_id=40), OLD)  # joins the person of tracklet 4
    fleet.parts.ingest.finish_move(begun, lambda: None)
    fleet.parts.gallery = begun.gallery
    assert_alike(fleet.parts, restarted(fleet, NEW))
    move(fleet.parts, MIDDLE)  # where nothing was embedded again
    assert_alike(fleet.parts, restarted(fleet, MIDDLE))


def test_what_operators_said_holds_after_a_move(fleet: Fleet) -> None:
    parts = fleet.parts
    members = SqlMembers(parts.engine, spaces=lambda: parts.ingest.spaces)
    identities = Identities(parts.ingest, parts.records, members, parts.summaries, clock_us=parts.clock)
    split = identities.split(1, [("edge1", "cam1", 3)], ANN)
    identities.merge([2, 3], ANN)
    before = fleet.persons()
    move(parts, NEW)
    assert fleet.persons() == before
    fleet.send(replace(walks_of([0, 1, 0])[2], start_s=46, num_views=1, seed=9), NEW)  # of the one split off
    assert fleet.persons() == before
    identities.undo(split.event_key, ANN)
    assert fleet.persons()[1, 3] == 1
    assert_alike(parts, restarted(fleet, NEW))


def test_nothing_moves_unless_it_is_made_durable(fleet: Fleet) -> None:
    def full_disk() -> None:
        raise StorageError("disk full (on request)")

    begun = fleet.parts.ingest.begin_move(NEW, LocalGallery(DIM))
    begun.prepare()
    with pytest.raises(StorageError, match="on request"):
        fleet.parts.ingest.finish_move(begun, full_disk)
    assert fleet.parts.ingest.spaces.served == OLD
    fleet.send(Walk(person=1, camera=1, start_s=500, tracklet_id=50))
    assert_alike(fleet.parts, restarted(fleet, OLD))


class FailingGallery(LocalGallery):
    """Cannot be reached for one upsert."""

    is_away = True

    def upsert(self, *arguments: np.ndarray) -> None:
        if self.is_away:
            self.is_away = False
            raise GalleryError("away (on request)")
        super().upsert(*arguments)


def test_a_gallery_lost_in_the_midst_is_filled_from_the_records(fleet: Fleet) -> None:
    begun = fleet.parts.ingest.begin_move(NEW, FailingGallery(DIM))
    begun.prepare()
    with pytest.raises(GalleryError):
        fleet.parts.ingest.finish_move(begun, lambda: None)
    fleet.parts.gallery = begun.gallery
    fleet.send(Walk(person=1, camera=1, start_s=500, tracklet_id=50), NEW)
    assert_alike(fleet.parts, restarted(fleet, NEW))


@pytest.mark.parametrize("phase", ["begun", "prepared", "remembered"])
def test_a_restart_in_any_phase_serves_what_was_made_durable(fleet: Fleet, phase: str) -> None:
    durable = [OLD]
    begun = fleet.parts.ingest.begin_move(NEW, LocalGallery(DIM))
    steps: dict[str, Callable[[], object]] = {
        "begun": lambda: None,
        "prepared": begun.prepare,
        "remembered": lambda: durable.append(NEW),
    }
    for name, step in steps.items():
        step()
        if name == phase:
            break
    before = fleet.persons()
    again = Fleet(restarted(fleet, durable[-1]))
    again.seqs = fleet.seqs
    again.send(Walk(person=1, camera=2, start_s=600, tracklet_id=60), MIDDLE)
    assert again.persons() == {**before, (2, 60): before[1, 2]}


def test_a_batch_that_waited_over_a_move_is_taken_in(fleet: Fleet) -> None:
    waiting = fleet.batch(Walk(person=1, camera=1, start_s=700, tracklet_id=70), OLD)
    move(fleet.parts, NEW)
    fleet.parts.ingest.step([waiting])
    assert fleet.persons()[1, 70] == fleet.persons()[1, 2]
