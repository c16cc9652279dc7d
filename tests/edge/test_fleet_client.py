from __future__ import annotations

import threading
import time
from dataclasses import replace

import grpc
import pytest
from fakes_fleet_service import FakeFleet

from edge.fleet import FleetClient, FleetSettings, attend_request, take_directive
from edge.health import EdgeHealth
from edge.releases.directives import Answer, AnswerState, Directive
from protos import common_pb2, fleet_pb2
from reid.retry import Backoff
from reid.types import ReleaseRef

REF = ReleaseRef("tiny", "2", "tiny-2")
HEALTH = EdgeHealth(
    release=ReleaseRef("tiny", "1", "tiny-1"),
    backend="onnxruntime",
    frames=100,
    frames_dropped=1,
    spool_depth=2,
    spool_dropped=3,
    embeddings=400,
    faults=5,
    embed_ms=6.5,
    coherence=0.75,
    swap_gap_ms=8.0,
)


class FakeDirectives:
    """Notes what it is given; `answer` is set by tests."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.num_bytes = 7
        self.taken: list[Directive] = []
        self.refused: list[tuple[str, str]] = []

    def take(self, directive: Directive) -> None:
        self.taken.append(directive)
        self.answer = Answer(directive.directive_id, AnswerState.ACCEPTED)

    def refuse(self, directive_id: str, reason: str) -> None:
        self.refused.append((directive_id, reason))


def install(name="d1", ref=REF):
    release = common_pb2.ReleaseRef(name=ref.name, version=ref.version, space=ref.space)
    return fleet_pb2.AttendResponse(directive_id=name, install_release=fleet_pb2.InstallRelease(release=release))


@pytest.fixture
def server():
    server = FakeFleet()
    yield server
    server.stop()


@pytest.fixture
def directives():
    return FakeDirectives()


@pytest.fixture
def make_client(server, directives):
    opened = []

    def make(health=lambda: HEALTH, **settings):
        patience = FleetSettings(**{"status_s": 60.0, "refused_retry_s": 60.0, **settings})
        backoff = Backoff(first_s=0.05, most_s=0.05)
        client = FleetClient(server.address, "edge1", health, directives, patience, backoff=backoff)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


def until(client, is_so, most_s=5.0):
    end_s = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < end_s, client.status
        client.step(timeout_s=0.02)


def test_a_status_says_all_that_the_server_judges_by():
    message = attend_request("edge1", HEALTH, Answer("d1", AnswerState.REFUSED, "altered"))
    assert (message.edge_id, message.release.space, message.backend) == ("edge1", "tiny-1", "onnxruntime")
    assert (message.frames, message.frames_dropped, message.spool_depth, message.spool_dropped) == (100, 1, 2, 3)
    assert (message.embeddings, message.faults, message.embed_ms) == (400, 5, 6.5)
    assert (message.coherence, message.swap_gap_ms) == (0.75, 8.0)
    assert (message.directive_id, message.message) == ("d1", "altered")
    assert message.directive_state == fleet_pb2.DIRECTIVE_STATE_REFUSED


def test_a_status_goes_up_at_once_and_then_at_intervals(server, make_client):
    client = make_client(status_s=0.1)
    until(client, lambda: len(server.statuses) >= 3)
    assert {status.edge_id for status in server.statuses} == {"edge1"}
    assert client.status.state == "attending"


def test_a_directive_is_taken_and_its_answer_told_without_delay(server, make_client, directives):
    client = make_client()
    server.direct(install())
    until(client, lambda: len(server.statuses) >= 2)
    assert directives.taken == [Directive("d1", "install", REF)]
    directives.answer = Answer("d1", AnswerState.DONE)
    until(client, lambda: len(server.statuses) >= 3)
    assert [status.directive_state for status in server.statuses] == [
        fleet_pb2.DIRECTIVE_STATE_UNSPECIFIED,
        fleet_pb2.DIRECTIVE_STATE_ACCEPTED,
        fleet_pb2.DIRECTIVE_STATE_DONE,
    ]


def test_after_a_break_a_new_stream_tells_the_answer_again(server, make_client, directives):
    client = make_client()
    directives.answer = Answer("d1", AnswerState.DONE)
    until(client, lambda: server.statuses)
    server.is_away = True
    until(client, lambda: client.status.state == "waiting")
    assert "UNAVAILABLE" in client.status.problem
    server.is_away = False
    until(client, lambda: len(server.statuses) >= 2)
    assert server.statuses[-1].directive_id == "d1"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "refused"),
        (grpc.StatusCode.PERMISSION_DENIED, "refused"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "waiting"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_refusal_is_told_apart_from_a_break(server, make_client, code, state):
    server.refuse = code, "no"
    client = make_client()
    until(client, lambda: client.status.problem)
    assert (client.status.state, code.name in client.status.problem) == (state, True)


def test_a_fault_in_the_figures_does_not_end_the_client(server, make_client):
    def broken():
        raise RuntimeError("no figures")

    client = make_client(health=broken)
    stop = threading.Event()
    thread = threading.Thread(target=client.run, args=(stop,))
    thread.start()
    time.sleep(0.3)
    assert client.status.problem == "unexpected RuntimeError: no figures"
    stop.set()
    thread.join(5)
    assert (thread.is_alive(), client.status.state) == (False, "closed")


def test_the_status_of_the_client_holds_how_the_directive_stands(make_client, directives):
    directives.answer = Answer("d1", AnswerState.REFUSED, "altered")
    status = make_client().status
    assert (status.directive, status.directive_state, status.directive_message) == ("d1", "refused", "altered")
    assert (status.state, status.bytes_downloaded) == ("waiting", 7)


@pytest.mark.parametrize("space", ["", "tiny-2"], ids=["unnamed", "named"])
def test_a_roll_back_may_name_its_release(directives, space):
    release = common_pb2.ReleaseRef(name="tiny", version="2", space=space)
    take_directive(
        directives, fleet_pb2.AttendResponse(directive_id="d2", roll_back=fleet_pb2.RollBack(release=release))
    )
    assert directives.taken == [Directive("d2", "rollback", REF if space else None)]


@pytest.mark.parametrize(
    "message",
    [
        fleet_pb2.AttendResponse(),
        install(""),
        install("x" * 10_000),
    ],
    ids=["empty", "nameless", "endless name"],
)
def test_what_has_no_name_is_ignored(directives, message):
    take_directive(directives, message)
    assert (directives.taken, directives.refused) == ([], [])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (fleet_pb2.AttendResponse(directive_id="d1"), "does not know that directive"),
        (install(ref=replace(REF, space="")), "names no release"),
        (install(ref=replace(REF, space="x" * 10_000)), "names no release"),
    ],
    ids=["of a newer protocol", "no release", "endless space"],
)
def test_what_cannot_be_done_is_refused(directives, message, reason):
    take_directive(directives, message)
    assert directives.taken == []
    ((name, said),) = directives.refused
    assert (name, reason in said) == ("d1", True)


def test_a_flood_of_directives_costs_nothing_but_the_newest_counts(server, make_client, directives):
    for number in range(2000):
        server.direct(install(f"d{number}"))
    client = make_client()
    until(client, lambda: directives.answer.directive_id == "d1999")
    until(client, lambda: server.statuses and server.statuses[-1].directive_id == "d1999")
    assert len(server.statuses) < 200
