from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fakes_attending import AttendingEdge
from fakes_running import running_server
from fakes_site import enroll, make_site
from releases import write_child_release

from protos import fleet_pb2
from reid.release import Release
from server.release_client import ReleaseClient
from server.releases.repository import ReleaseRepository
from server.releases.rollout import RolloutSettings

QUICK = RolloutSettings(soak_s=0.3, baseline_s=0.1, tick_s=0.05)
DONE, REFUSED = fleet_pb2.DIRECTIVE_STATE_DONE, fleet_pb2.DIRECTIVE_STATE_REFUSED


@pytest.fixture
def candidate(tmp_path: Path, tiny_release: Release) -> Release:
    return write_child_release(tiny_release, tmp_path / "candidate")


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    with running_server(tmp_path / "data", tiny_release, rollout=QUICK) as listening:
        yield listening


@pytest.fixture
def client(address: str) -> Iterator[ReleaseClient]:
    with ReleaseClient(address) as made:
        yield made


def state_of(client: ReleaseClient, edge: AttendingEdge, state: str) -> str:
    """Let the edge report until the roll-out is in a state; gives its reason."""
    until_s = time.monotonic() + 15
    while (view := client.get_rollout()).state != state:
        assert time.monotonic() < until_s, view
        edge.say(directive_id=edge.directive_id, state=edge.state)
        time.sleep(0.05)
    return view.reason


def obey(edge: AttendingEdge, *, state: int = DONE) -> fleet_pb2.AttendResponse:
    told = wait_for_directive(edge)
    wanted = told.install_release.release if told.HasField("install_release") else told.roll_back.release
    if state == DONE:
        edge.space = wanted.space
    edge.directive_id, edge.state = told.directive_id, state
    return told


def wait_for_directive(edge: AttendingEdge) -> fleet_pb2.AttendResponse:
    for _ in range(4):
        edge.say()
        time.sleep(0.1)
    return edge.directive()


def test_edge_is_told_downloads_and_answers(
    client: ReleaseClient, address: str, candidate: Release, tmp_path: Path
) -> None:
    client.import_release(candidate, force=True)
    client.start_rollout("tiny-2-1", force=False)
    with AttendingEdge(address) as edge:
        told = obey(edge)
        assert told.install_release.release.version == "2"
        root = ReleaseRepository(tmp_path / "data").root_text()
        got = edge.update(tmp_path / "edge", root, "tiny-2-1/model.onnx")
        assert got == candidate.model_path.read_bytes()
        state_of(client, edge, "done")
    (told_edge,) = client.get_rollout().edges
    assert (told_edge.state, told_edge.runs and told_edge.runs.space) == ("installed", "tiny-2-1")


def test_refusal_brings_the_old_release_back_and_says_why(
    client: ReleaseClient, address: str, candidate: Release
) -> None:
    client.import_release(candidate, force=True)
    client.start_rollout("tiny-2-1", force=False)
    with AttendingEdge(address) as edge:
        for _ in range(QUICK.max_attempts):
            obey(edge, state=REFUSED)
            edge.say(directive_id=edge.directive_id, state=REFUSED, message="cannot run it")
        assert state_of(client, edge, "aborted").startswith("edge1 refused: ")
    assert client.get_release("tiny-2-1").state == "withdrawn"


def test_directive_is_sent_again_on_a_new_stream(client: ReleaseClient, address: str, candidate: Release) -> None:
    client.import_release(candidate, force=True)
    client.start_rollout("tiny-2-1", force=False)
    with AttendingEdge(address) as edge:
        first = wait_for_directive(edge)
    with AttendingEdge(address) as edge:
        assert edge.directive() == first


def test_newer_stream_ends_the_older(address: str) -> None:
    with AttendingEdge(address) as older, AttendingEdge(address) as newer:
        older.say()
        time.sleep(0.2)
        newer.say()
        assert older.ending()[0] is grpc.StatusCode.ABORTED


@pytest.mark.parametrize(
    ("edge_id", "version", "status"),
    [("../edge", 1, grpc.StatusCode.INVALID_ARGUMENT), ("edge1", 99, grpc.StatusCode.FAILED_PRECONDITION)],
)
def test_malformed_attendance_is_refused(address: str, edge_id: str, version: int, status: grpc.StatusCode) -> None:
    with AttendingEdge(address, edge_id) as edge:
        edge.say(version=version)
        assert edge.ending()[0] is status


def test_edge_speaks_for_itself_only(address: str) -> None:
    with AttendingEdge(address) as edge:
        edge.say()
        edge.edge_id = "edge2"
        edge.say()
        assert "speaks for 'edge2'" in edge.ending()[1]


def test_what_is_not_in_the_repository_is_not_found(address: str) -> None:
    with AttendingEdge(address) as edge:
        assert b'"root"' in edge.download("metadata/1.root.json")
        for path in ("metadata/2.root.json", "../records.db", "signing/lock"):
            with pytest.raises(grpc.RpcError) as refused:
                edge.download(path)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_certificate_of_another_edge_is_refused_and_a_revoked_edge_is_put_out(
    tmp_path: Path, tiny_release: Release
) -> None:
    authority = make_site(tmp_path / "data")
    bundle = enroll(authority, "edge", "edge1", "cam1", server="127.0.0.1:7070")
    assert '"root"' in bundle.release_root
    with running_server(tmp_path / "data", tiny_release, insecure=False) as address:
        with AttendingEdge(address, "edge2", credentials=bundle) as forger:
            forger.say()
            assert forger.ending()[0] is grpc.StatusCode.PERMISSION_DENIED
        with AttendingEdge(address, "edge1", credentials=bundle) as edge:
            edge.say()
            time.sleep(0.3)
            authority.registry.revoke("edge", "edge1", now_s=int(time.time()))
            assert edge.ending()[0] is grpc.StatusCode.UNAUTHENTICATED
