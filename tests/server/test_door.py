"""Who gets in over real TLS on loopback, and who does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_site import enroll, make_site, now
from fakes_stream import batch_message, hello, observation

from protos import search_pb2, search_pb2_grpc
from reid.channel import open_channel
from reid.credentials import Credentials
from reid.release import Release
from server.client import SearchClient
from server.errors import RefusedError, SecurityError, UnreachableError
from server.identity_client import IdentityClient
from server.security.authority import Authority
from server.security.registry import Enrolment
from server.storage.database import StorageSettings, read_database
from server.storage.records import AuditEntry
from server.storage.sql import SqlRecords


@pytest.fixture
def site(tmp_path: Path) -> Authority:
    return make_site(tmp_path / "data")


@pytest.fixture
def address(tmp_path: Path, site: Authority, tiny_release: Release) -> Iterator[str]:
    with running_server(tmp_path / "data", tiny_release, insecure=False, max_calls_per_caller=2) as listening:
        yield listening


@pytest.fixture
def edge1(site: Authority) -> Credentials:
    return enroll(site, "edge", "edge1", "cam1", "cam2")


def status_of(address: str, credentials: Credentials | None) -> int:
    with SearchClient(address, timeout_s=5, credentials=credentials) as client:
        return client.status().totals.num_observations


def test_an_edge_streams_and_people_see_it(address: str, site: Authority, edge1: Credentials) -> None:
    with TalkingEdge(address, credentials=edge1) as edge:
        edge.welcome()
        edge.send(batch_message(1, observation()))
        assert edge.acknowledgement().acked_seq == 1
    assert status_of(address, enroll(site, "operator", "ann")) == 1
    assert status_of(address, enroll(site, "viewer", "vic")) == 1


@pytest.mark.parametrize("kind", ["plain", "no certificate", "other CA", "expired"])
def test_tls_refuses_strangers_and_the_log_says_why(
    address: str, site: Authority, edge1: Credentials, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    reasons = {
        "plain": "WRONG_VERSION_NUMBER",
        "no certificate": "PEER_DID_NOT_RETURN_A_CERTIFICATE",
        "other CA": "CERTIFICATE_VERIFY_FAILED|signature failure",
        "expired": "certificate has expired",
    }
    with grpc_channel(address, kind, site, edge1, tmp_path) as channel, pytest.raises(grpc.RpcError) as refused:
        search_pb2_grpc.SearchServiceStub(channel).GetStatus(search_pb2.GetStatusRequest(), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    log = capfd.readouterr().err
    assert any(reason in log for reason in reasons[kind].split("|"))


def grpc_channel(address: str, kind: str, site: Authority, edge1: Credentials, tmp_path: Path) -> grpc.Channel:
    if kind == "plain":
        return grpc.insecure_channel(address)
    if kind == "no certificate":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(site.ca_pem()))
    if kind == "expired":
        made = enroll(site, "edge", "edge1", "cam1", days=-1)
        return open_channel(address, made, clock=lambda: 0)
    (tmp_path / "other").mkdir()
    stranger = enroll(make_site(tmp_path / "other"), "edge", "edge1", "cam1")
    return open_channel(address, replace(stranger, ca_pem=edge1.ca_pem))


def test_a_client_does_not_talk_to_a_server_of_another_site(address: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(UnreachableError, match="different sites"):
        status_of(address, enroll(make_site(tmp_path / "other"), "operator", "ann"))


def test_a_client_without_credentials_is_told_what_it_needs(address: str) -> None:
    with pytest.raises(UnreachableError, match="--credentials FILE"):
        status_of(address, None)


def test_a_revoked_edge_is_refused_by_name(
    address: str, site: Authority, edge1: Credentials, capfd: pytest.CaptureFixture[str]
) -> None:
    site.registry.revoke("edge", "edge1", now_s=1)
    with TalkingEdge(address, credentials=edge1) as edge:
        code, words = edge.ending()
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "of edge edge1 was revoked" in words
    assert "caller refused" in "".join(capfd.readouterr())


def test_the_open_stream_of_a_revoked_edge_ends_and_others_go_on(
    address: str, site: Authority, edge1: Credentials
) -> None:
    other = enroll(site, "edge", "edge2", "cam1", "cam2")
    with (
        TalkingEdge(address, credentials=edge1) as revoked,
        TalkingEdge(address, hello("edge2"), credentials=other) as good,
    ):
        revoked.welcome()
        good.welcome()
        site.registry.revoke("edge", "edge1", now_s=1)
        assert revoked.ending()[0] is grpc.StatusCode.UNAUTHENTICATED
        good.send(batch_message(1, observation()))
        assert good.acknowledgement().acked_seq == 1


def test_refused_edges_stand_in_the_audit_log_once(
    address: str, site: Authority, edge1: Credentials, tmp_path: Path
) -> None:
    for said in (hello("edge2"), hello("edge1", camids=["cam3"]), hello("edge2")):
        with TalkingEdge(address, said, credentials=edge1) as edge:
            edge.ending()
    site.registry.revoke("edge", "edge1", now_s=1)
    with TalkingEdge(address, credentials=edge1) as edge:
        edge.ending()
    wanted = ["speak for edge edge2", "announces camera cam3", "was revoked"]
    entries = refusals(tmp_path / "data", num_wanted=len(wanted))
    assert [words in entry.outcome for words, entry in zip(wanted, entries, strict=True)] == [True] * 3
    assert {(entry.actor.name, entry.what) for entry in entries} == {("edge1", "StreamObservations")}


def test_an_edge_cannot_fill_the_audit_log(address: str, edge1: Credentials, tmp_path: Path) -> None:
    for number in range(12):
        with TalkingEdge(address, hello("edge1", camids=[f"forged{number}"]), credentials=edge1) as edge:
            edge.ending()
    assert len(refusals(tmp_path / "data", num_wanted=9, limit_s=1)) == 8


def test_a_viewer_who_tries_to_merge_is_refused_logged_and_audited(
    address: str, site: Authority, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    viewer = enroll(site, "viewer", "vic")
    with (
        IdentityClient(address, timeout_s=5, credentials=viewer) as client,
        pytest.raises(RefusedError, match="viewer vic may not call MergePersons: it takes the credentials of an oper"),
    ):
        client.merge([1, 2])
    (entry,) = refusals(tmp_path / "data", num_wanted=1)
    assert (entry.actor, entry.what) == (("vic", "viewer"), "MergePersons")
    assert "caller refused" in "".join(capfd.readouterr())


def refusals(data: Path, *, num_wanted: int, limit_s: float = 20) -> list[AuditEntry]:
    """Those in the audit log; waits until there are as many as wanted, as they are written in the background."""
    records = SqlRecords(read_database(StorageSettings(), data=data))
    deadline_s = time.monotonic() + limit_s
    found: list[AuditEntry] = []
    while len(found) < num_wanted and time.monotonic() < deadline_s:
        time.sleep(0.02)
        found = [entry for entry in records.iter_audit() if entry.outcome.startswith("refused")]
    records.close()
    return found


@pytest.mark.parametrize(
    ("said", "names"),
    [(hello("edge2"), ("edge1", "edge2")), (hello("edge1", camids=["cam1", "cam3"]), ("edge1", "cam3"))],
    ids=["edge", "camera"],
)
def test_an_edge_that_speaks_for_another_is_refused_and_logged_with_both_names(
    address: str, edge1: Credentials, capfd: pytest.CaptureFixture[str], said: object, names: tuple[str, str]
) -> None:
    with TalkingEdge(address, said, credentials=edge1) as edge:  # type: ignore[arg-type]
        code, words = edge.ending()
    log = "".join(capfd.readouterr())
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert all(name in words and name in log for name in names)


def test_a_forged_hello_does_not_end_the_true_edges_stream(address: str, site: Authority, edge1: Credentials) -> None:
    with TalkingEdge(address, credentials=edge1) as true:
        true.welcome()
        with TalkingEdge(address, hello("edge1"), credentials=enroll(site, "edge", "edge2", "cam1")) as forger:
            assert forger.ending()[0] is grpc.StatusCode.PERMISSION_DENIED
        true.send(batch_message(1, observation()))
        assert true.acknowledgement().acked_seq == 1


def test_a_viewer_cannot_stream_and_an_edge_cannot_search(address: str, site: Authority, edge1: Credentials) -> None:
    with TalkingEdge(address, credentials=enroll(site, "viewer", "vic")) as viewer:
        assert viewer.ending()[0] is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(RefusedError, match="edge edge1 may not call GetStatus"):
        status_of(address, edge1)


def test_a_stolen_certificate_without_its_token_is_refused(address: str, site: Authority) -> None:
    made = enroll(site, "operator", "ann")
    with pytest.raises(RefusedError, match="operator ann: the token is missing"):
        status_of(address, replace(made, token=""))


def test_one_caller_cannot_hold_all_calls(address: str, site: Authority, edge1: Credentials) -> None:
    silent = [TalkingEdge(address, greet=False, credentials=edge1) for _ in range(2)]
    try:
        other = enroll(site, "edge", "edge2", "cam1", "cam2")
        with TalkingEdge(address, hello("edge2"), credentials=other) as good:
            good.welcome()
        with TalkingEdge(address, credentials=edge1) as third:
            assert third.ending()[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    finally:
        for edge in silent:
            edge.__exit__()


def test_an_edge_whose_line_broke_gets_in_again_while_the_old_stream_stands(address: str, edge1: Credentials) -> None:
    with TalkingEdge(address, credentials=edge1) as first:
        first.welcome()
        with TalkingEdge(address, credentials=edge1) as second:
            second.welcome()
            assert first.ending()[0] is grpc.StatusCode.ABORTED
            second.send(batch_message(1, observation()))
            assert second.acknowledgement().acked_seq == 1


def test_a_renewed_server_certificate_is_shown_without_restart(
    address: str, site: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    made = enroll(site, "viewer", "vic")
    status_of(address, made)
    site.renew_server((), days=25, now=now())
    assert status_of(address, made) == 0
    assert "certificate was renewed" in "".join(capfd.readouterr())


def test_a_damaged_list_of_the_enrolled_lets_nobody_in(address: str, site: Authority, edge1: Credentials) -> None:
    (site.folder / "enrolled.json").write_text("{")
    with TalkingEdge(address, credentials=edge1) as edge:
        code, words = edge.ending()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "cannot be read" in words


def test_a_certificate_that_is_not_on_the_list_is_refused(address: str, site: Authority, edge1: Credentials) -> None:
    (site.folder / "enrolled.json").unlink()
    site.registry.add(Enrolment(serial="1", kind="edge", name="x", camids=("c",), ends_at_s=9))
    with TalkingEdge(address, credentials=edge1) as edge:
        assert "not enrolled on this server" in edge.ending()[1]


def test_without_certificates_a_server_does_not_start(tmp_path: Path, tiny_release: Release) -> None:
    with (
        pytest.raises(SecurityError, match="osprey-server init"),
        running_server(tmp_path / "data", tiny_release, insecure=False),
    ):
        pass
