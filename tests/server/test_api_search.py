from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import SECOND_US, ServerParts, batch_message, half_bytes, hello, observation, served_by

from protos import search_pb2
from reid.attributes import Attribute
from reid.release import Release
from server.api.search import SearchServicer, with_connections
from server.audit_trail import AuditTrail
from server.client import SearchClient
from server.errors import NotFoundError, RefusedError
from server.storage.records import AuditEntry
from server.types import EdgeSummary, PrototypeRef, Scope


@pytest.fixture
def client(tmp_path: Path, tiny_release: Release) -> Iterator[SearchClient]:
    """A server that has seen person 0 in two cameras and person 1 in one, and has an edge connected."""
    with running_server(tmp_path / "data", tiny_release) as address, TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, *(observation(0, time_s=i) for i in range(4))))
        edge.send(batch_message(5, *(observation(0, time_s=60 + i, camid="cam2", tracklet_id=2) for i in range(4))))
        edge.send(batch_message(9, *(observation(1, time_s=i, tracklet_id=3) for i in range(4))))
        while edge.acknowledgement().acked_seq < 12:
            pass
        with SearchClient(address) as made:
            yield made


def test_an_embedding_finds_its_person_first(client: SearchClient) -> None:
    first, second = client.search_embedding(half_bytes(0), top=5)
    assert (first.person.person_id, first.is_match, first.person.camids) == (1, True, ("cam1", "cam2"))
    assert first.similarity == pytest.approx(1.0, abs=2e-3)
    assert first.camid in first.person.camids
    assert (second.person.person_id, second.is_match) == (2, False)


def test_a_search_can_be_bound_to_cameras_and_a_span(client: SearchClient) -> None:
    (found,) = client.search_embedding(half_bytes(1), top=5, camids=["cam2"])
    assert (found.person.person_id, found.camid) == (1, "cam2")
    late = (30 * SECOND_US, 90 * SECOND_US)
    assert [match.person.person_id for match in client.search_embedding(half_bytes(1), top=5, span=late)] == [1]
    with pytest.raises(NotFoundError, match="no camera 'cam9'"):
        client.search_embedding(half_bytes(1), top=5, camids=["cam9"])
    with pytest.raises(RefusedError, match="before it starts"):
        client.search_embedding(half_bytes(1), top=5, span=(2, 1))


def test_top_bounds_the_answer(client: SearchClient) -> None:
    assert len(client.search_embedding(half_bytes(1), top=1)) == 1


def test_an_image_is_embedded_and_compared(client: SearchClient) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 40, 3), dtype=np.uint8)
    matches = client.search_image(cv2.imencode(".png", picture)[1].tobytes(), top=5)
    assert {match.person.person_id for match in matches} == {1, 2}


@pytest.mark.parametrize(("image", "message"), [(b"no picture", "no readable picture"), (b"", "no readable picture")])
def test_bytes_that_are_no_picture_are_refused(client: SearchClient, image: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        client.search_image(image, top=5)


def test_an_embedding_of_the_wrong_size_is_refused(client: SearchClient) -> None:
    with pytest.raises(RefusedError, match="has 4 bytes, wanted 16"):
        client.search_embedding(bytes(4), top=5)


def test_persons_are_listed_over_pages(client: SearchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.client._PAGE", 1)
    assert [(person.person_id, person.num_observations) for person in client.iter_persons()] == [(1, 8), (2, 4)]


def test_provisional_persons_are_shown_only_when_asked_for(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address, TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, observation(0)))
        assert edge.acknowledgement().acked_seq == 1
        with SearchClient(address) as client:
            assert (list(client.iter_persons()), client.search_embedding(half_bytes(0), top=5)) == ([], [])
            (listed,) = client.iter_persons(with_provisional=True)
            (found,) = client.search_embedding(half_bytes(0), top=5, with_provisional=True)
            totals = client.status().totals
    assert (listed.is_provisional, found.person) == (True, listed)
    assert (totals.num_persons, totals.num_provisional) == (0, 1)


def test_tracklets_are_listed_with_their_sightings(client: SearchClient) -> None:
    found = list(client.iter_tracklets(person_id=1, with_sightings=True))
    assert [(item.camera.camid, item.tracklet_id, item.person_id) for item in found] == [("cam1", 1, 1), ("cam2", 2, 1)]
    assert [sighting.time_us // SECOND_US for sighting in found[1].sightings] == [60, 61, 62, 63]
    assert len(list(client.iter_tracklets())) == 3


def test_unknown_and_impossible_persons_are_named(client: SearchClient) -> None:
    with pytest.raises(NotFoundError, match="no person 9"):
        list(client.iter_tracklets(person_id=9))
    with pytest.raises(RefusedError, match="person_id -1"):
        list(client.iter_tracklets(person_id=-1))


def test_the_status_counts_and_names_the_connected(client: SearchClient) -> None:
    status = client.status()
    assert (status.totals.num_observations, status.totals.num_tracklets, status.totals.num_persons) == (12, 3, 2)
    (edge,) = status.edges
    assert (edge.edge_id, edge.is_connected, edge.acked_seq) == ("edge1", True, 12)
    assert status.release.space == hello().release.space


def test_connected_edges_without_records_are_shown() -> None:
    stored = EdgeSummary(edge_id="b", num_observations=3, acked_seq=3, last_seen_us=1, camids=("x",))
    merged = with_connections([stored], {"a": ("y",), "b": ("w", "x")})
    assert [(edge.edge_id, edge.is_connected, edge.camids) for edge in merged] == [
        ("a", True, ("y",)),
        ("b", True, ("w", "x")),
    ]
    assert with_connections([stored], {}) == (stored,)


class StuckSearch:
    """Answers embeddings, and holds photos until released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.num_photos = 0

    def by_image(
        self, image: bytes, *, top: int, scope: Scope, with_provisional: bool
    ) -> list[tuple[PrototypeRef, float]]:
        self.num_photos += 1
        assert self.release.wait(20)
        return []

    def attributes_of(self, person_ids: Sequence[int]) -> dict[int, tuple[Attribute, ...]]:
        return {}

    def by_embedding(
        self, content: bytes, *, top: int, scope: Scope, with_provisional: bool
    ) -> list[tuple[PrototypeRef, float]]:
        return []


def test_many_photos_at_once_hold_up_nothing_else(parts: ServerParts, tiny_release: Release) -> None:
    search: Any = StuckSearch()
    context: Any = None
    photo, vector = search_pb2.SearchPersonsRequest(image=b"x"), search_pb2.SearchPersonsRequest(embedding=b"x")

    audit: list[AuditEntry] = []

    async def operation(append: Callable[[], None]) -> None:
        append()

    async def ask() -> None:
        servicer = SearchServicer(
            parts.summaries,
            search,
            parts.ingest,
            AuditTrail(audit.append, operation, lambda: 0),
            connected_camids=dict,
            served=served_by(parts, tiny_release),
            started_at_us=0,
        )
        photos = [asyncio.create_task(servicer.SearchPersons(photo, context)) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.wait_for(servicer.SearchPersons(vector, context), 20)
        assert search.num_photos <= 2
        search.release.set()
        await asyncio.gather(*photos)

    asyncio.run(ask())
    assert (search.num_photos, len(audit)) == (40, 41)
