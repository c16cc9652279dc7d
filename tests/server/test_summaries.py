from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes_stream import DIM, SECOND_US, SERVED, SPACES, ServerParts, batch, look, observation
from sqlalchemy import event

from reid.types import Box
from server.errors import NotFoundError
from server.spaces import Spaces
from server.types import Camera, EdgeSummary, PersonSummary, Sighting, Spool


@pytest.fixture
def filled(parts: ServerParts) -> ServerParts:
    """Person 1 in two cameras, person 2, who is provisional, in one, of another edge."""
    parts.ingest.step([batch(1, *(observation(0, time_s=i, tracklet_id=1, quality=0.5) for i in range(4)))])
    parts.ingest.step([batch(5, *(observation(0, time_s=50 + i, camid="cam2", tracklet_id=2) for i in range(4)))])
    parts.ingest.step([batch(1, observation(3, time_s=20), spool=Spool("edge2", "s"))])
    return parts


def test_a_person_is_summed_over_all_cameras(filled: ServerParts) -> None:
    first, second = filled.summaries.list_persons(after_person_id=0, limit=9, with_provisional=True)
    assert first == PersonSummary(
        person_id=1,
        camids=("cam1", "cam2"),
        num_tracklets=2,
        num_observations=8,
        start_us=0,
        end_us=53 * SECOND_US,
    )
    assert (second.person_id, second.num_observations, second.is_provisional) == (2, 1, True)


def test_persons_come_in_pages(filled: ServerParts) -> None:
    pages = [
        filled.summaries.list_persons(after_person_id=after, limit=1, with_provisional=True) for after in (0, 1, 2)
    ]
    assert [[person.person_id for person in page] for page in pages] == [[1], [2], []]


def test_provisional_persons_are_counted_apart_and_not_listed_unasked(filled: ServerParts) -> None:
    assert [person.person_id for person in filled.summaries.list_persons(after_person_id=0, limit=9)] == [1]
    totals = filled.summaries.totals()
    assert (totals.num_persons, totals.num_provisional) == (1, 1)


def test_persons_that_do_not_exist_are_left_out(filled: ServerParts) -> None:
    assert set(filled.summaries.get_persons([2, 99])) == {2}
    assert filled.summaries.get_persons([]) == {}


def test_tracklets_come_in_order_of_their_start_with_their_sightings(
    filled: ServerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.storage.summaries._PAGE", 2)
    found = list(filled.summaries.iter_summaries(person_id=0, with_sightings=True))
    assert [tracklet.start_us // SECOND_US for tracklet in found] == [0, 20, 50]
    assert found[0].camera == Camera("edge1", "cam1")
    assert found[0].sightings[1] == Sighting(time_us=SECOND_US, box=Box(10.0, 20.0, 50.0, 120.0), quality=0.5)
    assert [len(tracklet.sightings) for tracklet in found] == [4, 1, 4]


def test_tracklets_of_one_person_come_without_sightings_unless_asked(filled: ServerParts) -> None:
    found = list(filled.summaries.iter_summaries(person_id=1, with_sightings=False))
    assert [(tracklet.tracklet_id, tracklet.sightings) for tracklet in found] == [(1, ()), (2, ())]


def test_the_best_views_of_each_person_are_read(parts: ServerParts) -> None:
    qualities = [0.2, 0.9, 0.5]
    parts.ingest.step([batch(1, *(observation(0, time_s=i, quality=q) for i, q in enumerate(qualities)))])
    parts.ingest.step([batch(1, observation(3, time_s=90), spool=Spool("edge2", "s"))])
    views = parts.summaries.read_views([1, 2, 99], spaces=SPACES, most_per_person=2)
    assert sorted(views.person_ids.tolist()) == [1, 1, 2]
    assert views.embeddings.shape == (3, DIM)
    np.testing.assert_allclose(views.embeddings[views.person_ids == 2][0], look(3), atol=1e-3)


@pytest.mark.parametrize("persons", [[1], [1, 2]])
def test_views_are_found_by_their_person_even_of_a_single_one(filled: ServerParts, persons: list[int]) -> None:
    """And by the index alone: a tracklet's row lies on a page of its own, and a search reads those of a thousand.

    For one person, SQLite once took the index of aged tracklets, and read all there are.
    """
    engine = filled.records._engine
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(connection: object, cursor: object, statement: str, values: tuple[object, ...], *rest: object) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    filled.summaries.read_views(persons, spaces=SPACES, most_per_person=2)
    event.remove(engine, "before_cursor_execute", note)
    statement, values = asked[-1]
    with engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
    assert "SEARCH tracklets USING COVERING INDEX ix_tracklets_person_id" in plan


@pytest.mark.parametrize(("persons", "space"), [([], SERVED.space), ([1], "another")], ids=["nobody", "another-space"])
def test_there_may_be_no_views(filled: ServerParts, persons: list[int], space: str) -> None:
    assert (
        len(
            filled.summaries.read_views(
                persons, spaces=Spaces(replace(SERVED, space=space)), most_per_person=2
            ).person_ids
        )
        == 0
    )


def test_an_unknown_person_is_named(filled: ServerParts) -> None:
    with pytest.raises(NotFoundError, match="no person 99"):
        next(filled.summaries.iter_summaries(person_id=99, with_sightings=False))


def test_edges_are_summed_over_their_spools(filled: ServerParts) -> None:
    filled.clock.now_us += 5
    filled.ingest.step([batch(1, observation(0, time_s=90, tracklet_id=9), spool=Spool("edge1", "new disk"))])
    first, second = filled.summaries.list_edges()
    assert first == EdgeSummary(
        edge_id="edge1", num_observations=9, acked_seq=1, last_seen_us=filled.clock.now_us, camids=("cam1", "cam2")
    )
    assert second.edge_id == "edge2"


def test_cameras_have_names(filled: ServerParts) -> None:
    assert filled.summaries.get_camids([1, 2, 99]) == {1: "cam1", 2: "cam2"}


def test_an_empty_store_has_nothing(parts: ServerParts) -> None:
    assert parts.summaries.list_persons(after_person_id=0, limit=5) == []
    assert list(parts.summaries.iter_summaries(person_id=0, with_sightings=True)) == []
    assert parts.summaries.totals().num_observations == 0
