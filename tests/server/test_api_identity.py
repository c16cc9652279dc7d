from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, half_bytes, observation

from reid.release import Release
from server.errors import NotFoundError, RefusedError
from server.identity_client import IdentityClient


@pytest.fixture
def data(tmp_path: Path, tiny_release: Release) -> Path:
    """Records of persons 1, 2 and 3, one tracklet each; person 2 is in cam2."""
    folder = tmp_path / "data"
    with running_server(folder, tiny_release) as address, TalkingEdge(address) as edge:
        edge.welcome()
        for index, camid in enumerate(("cam1", "cam2", "cam1")):
            items = [observation(index, camid=camid, tracklet_id=index + 1, time_s=100 * index + i) for i in range(4)]
            edge.send(batch_message(1 + 4 * index, *items))
        while edge.acknowledgement().acked_seq < 12:
            pass
    return folder


@pytest.fixture
def client(data: Path, tiny_release: Release) -> Iterator[IdentityClient]:
    with running_server(data, tiny_release) as address, IdentityClient(address) as made:
        yield made


def who(client: IdentityClient) -> list[int]:
    return [tracklet.person_id for tracklet in client.iter_tracklets()]


def test_a_merge_is_seen_by_search_and_taken_back_by_undo(client: IdentityClient) -> None:
    assert who(client) == [1, 2, 3]
    merged = client.merge([1, 2])
    assert who(client) == [1, 1, 3]
    assert client.search_embedding(half_bytes(1), top=1)[0].person.person_id == 1
    client.undo(merged.event_key)
    assert who(client) == [1, 2, 3]
    assert client.search_embedding(half_bytes(1), top=1)[0].person.person_id == 2


def test_a_split_makes_a_new_person(client: IdentityClient) -> None:
    client.merge([1, 2])
    made = client.split(1, [("edge1", "cam2", 2)])
    assert (made.person_ids, who(client)) == ((4,), [1, 4, 3])


def test_what_operators_did_survives_a_restart(data: Path, tiny_release: Release) -> None:
    with running_server(data, tiny_release) as address, IdentityClient(address) as client:
        client.name(client.merge([3, 1]).person_ids[0], "Anna")
    with running_server(data, tiny_release) as address, IdentityClient(address) as client:
        assert who(client) == [3, 2, 3]
        assert client.get_person(3).name == "Anna"
        assert [event.kind for event in client.iter_events()] == ["merge", "name"]


def test_events_tell_what_became_of_a_person(client: IdentityClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.identity_client._PAGE", 1)
    merged = client.merge([1, 2])
    client.name(3, "Bo")
    client.undo(merged.event_key)
    first, last = client.iter_events(person_id=2)
    assert (first.kind, first.actor, first.moves, first.folded) == ("merge", "local", ((2, 1, 1),), ((2, 1),))
    assert (first.undone_by, last.kind, last.undone_by) == (last.event_key, "undo", 0)
    assert [event.kind for event in client.iter_events()] == ["merge", "name", "undo"]


def test_an_erased_person_is_found_no_more(client: IdentityClient) -> None:
    assert client.erase(2).num_tracklets == 1
    assert who(client) == [1, 3]
    assert {match.person.person_id for match in client.search_embedding(half_bytes(1), top=9)} == {1, 3}
    with pytest.raises(NotFoundError, match="no person 2"):
        client.get_person(2)


def test_consolidation_on_demand_tells_what_it_did(client: IdentityClient) -> None:
    report = client.consolidate(window_s=3600)
    assert (report.num_tracklets, report.num_moved, report.event_keys) == (3, 0, ())


def test_what_cannot_be_done_is_refused_with_its_reason(client: IdentityClient) -> None:
    with pytest.raises(RefusedError, match="needs two persons"):
        client.merge([1])
    with pytest.raises(NotFoundError, match="no person 9"):
        client.merge([1, 9])
    with pytest.raises(NotFoundError, match="no event 9"):
        client.undo(9)
    with pytest.raises(RefusedError, match="person_id -1"):
        list(client.iter_events(person_id=-1))
    with pytest.raises(RefusedError, match="window_s"):
        client.consolidate(window_s=-1)
    assert who(client) == [1, 2, 3]
