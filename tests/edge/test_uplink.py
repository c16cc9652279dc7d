from __future__ import annotations

import random
import threading
import time

import grpc
import pytest
from fakes_server import FakeServer
from makers import DIM, make_observation

from edge.spool import Spool
from edge.uplink import EdgeIdentity, Uplink, UplinkSettings, UplinkState
from reid.retry import Backoff
from reid.types import PROTOCOL_VERSION, ReleaseRef

RELEASE = ReleaseRef("tiny", "1", "s1")


@pytest.fixture
def server():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "edge.spool", limit_bytes=1 << 30)
    yield spool
    spool.close()


@pytest.fixture
def connect(server, spool):
    """Make uplinks that are closed at the end."""
    made = []

    def make(*, address=None, identity=None, **patience):
        values = {"welcome_timeout_s": 5, "ack_timeout_s": 5, "refused_retry_s": 0.05, **patience}
        backoff = Backoff(first_s=0.01, most_s=0.05, rng=random.Random(1))
        who = identity or (lambda: EdgeIdentity("edge1", ["cam1"], RELEASE, DIM))
        made.append(Uplink(address or server.address, who, spool, UplinkSettings(**values), backoff=backoff))
        return made[-1]

    yield make
    for uplink in made:
        uplink.close()


def turn_until(uplink, condition):
    """Step the uplink until the condition holds; fails after 20 s."""
    until_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until_s, f"still {uplink.status}"
        uplink.step(timeout_s=0.02)


def fill(spool, number, *, space="s1", **changes):
    return spool.append([make_observation(i, **changes) for i in range(1, number + 1)], space=space)


def test_hello_says_who_and_what(server, spool, connect):
    uplink = connect()
    turn_until(uplink, lambda: uplink.status.state is UplinkState.STREAMING)
    hello = server.hellos[0]
    assert (hello.protocol_version, hello.edge_id, list(hello.camids)) == (PROTOCOL_VERSION, "edge1", ["cam1"])
    assert (hello.spool_id, hello.release.space, hello.dim) == (spool.spool_id, "s1", DIM)


def test_everything_arrives_once_in_order_and_leaves_the_spool(server, spool, connect):
    uplink = connect()
    fill(spool, 100)
    turn_until(uplink, lambda: spool.depth == 0)
    assert server.received == list(range(1, 101))
    assert (uplink.status.sent, uplink.status.acknowledged) == (100, 100)
    assert uplink.status.bytes_sent >= 100 * 2 * DIM


def test_batches_and_window_keep_to_what_the_server_said(server, spool, connect):
    server.max_batch, server.window_batches, server.acknowledges = 10, 2, False
    uplink = connect()
    fill(spool, 100)
    turn_until(uplink, lambda: len(server.batches) == 2)
    for _ in range(3):
        uplink.step(timeout_s=0.01)
    assert [len(batch.observations) for batch in server.batches] == [10, 10]
    assert uplink.status.sent == 20


def test_new_observation_wakes_an_idle_uplink(server, spool, connect):
    uplink = connect()
    turn_until(uplink, lambda: uplink.status.state is UplinkState.STREAMING)
    fill(spool, 1)
    uplink.wake()
    turn_until(uplink, lambda: spool.depth == 0)
    assert server.num_stored == 1


def test_broken_stream_resends_what_was_not_acknowledged(server, spool, connect):
    server.break_before_ack = 2
    uplink = connect()
    fill(spool, 200)
    turn_until(uplink, lambda: spool.depth == 0)
    assert len(server.hellos) == 2
    assert sorted(server.stored[spool.spool_id]) == list(range(1, 201))
    assert uplink.status.acknowledged == 200


def test_welcome_drops_what_the_server_already_has(server, spool, connect):
    fill(spool, 50)
    server.acked[spool.spool_id] = 20
    uplink = connect()
    turn_until(uplink, lambda: spool.depth == 0)
    assert server.received == list(range(21, 51))
    assert uplink.status.acknowledged == 50


def test_repeated_acknowledgements_count_once(server, spool, connect):
    server.repeats_acks = True
    uplink = connect()
    fill(spool, 64)
    turn_until(uplink, lambda: spool.depth == 0)
    assert uplink.status.acknowledged == 64


def test_server_that_starts_late_gets_everything(server, spool, connect):
    server.stop()
    uplink = connect()
    fill(spool, 10)
    turn_until(uplink, lambda: uplink.status.problem)
    assert (uplink.refusal, spool.depth) == (None, 10)
    server.start()
    turn_until(uplink, lambda: spool.depth == 0)
    assert uplink.status.problem == ""


def test_server_that_is_killed_and_comes_back_gets_the_rest(server, spool, connect):
    uplink = connect()
    fill(spool, 40)
    turn_until(uplink, lambda: spool.depth == 0)
    server.stop()
    fill(spool, 40)
    turn_until(uplink, lambda: uplink.status.problem)
    server.start()
    turn_until(uplink, lambda: spool.depth == 0)
    assert server.num_stored == 80


@pytest.mark.parametrize("code", ["FAILED_PRECONDITION", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_refusal_is_reported_with_the_servers_words_and_nothing_is_lost(server, spool, connect, code):
    server.refuse = (grpc.StatusCode[code], "space s1 is not served here")
    uplink = connect()
    fill(spool, 5)
    turn_until(uplink, lambda: uplink.status.state is UplinkState.REFUSED)
    assert "space s1 is not served here" in str(uplink.refusal)
    assert spool.depth == 5


def test_refused_edge_is_let_in_once_the_server_changes_its_mind(server, spool, connect):
    server.refuse = (grpc.StatusCode.PERMISSION_DENIED, "unknown edge")
    uplink = connect()
    fill(spool, 5)
    turn_until(uplink, lambda: uplink.refusal)
    server.refuse = None
    turn_until(uplink, lambda: spool.depth == 0)
    assert uplink.refusal is None


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL"])
def test_passing_trouble_is_no_refusal(server, spool, connect, code):
    server.refuse = (grpc.StatusCode[code], "busy")
    uplink = connect()
    turn_until(uplink, lambda: len(server.hellos) >= 3)
    assert uplink.refusal is None
    assert uplink.status.state is not UplinkState.REFUSED


def test_server_of_another_protocol_is_refused(server, connect):
    server.protocol_version = 99
    uplink = connect()
    turn_until(uplink, lambda: uplink.refusal)
    assert "protocol 99" in str(uplink.refusal)


def test_port_of_something_else_is_refused_with_a_hint(spool, connect):
    other = grpc.server(thread_pool=None)
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    uplink = connect(address=f"127.0.0.1:{port}")
    turn_until(uplink, lambda: uplink.refusal)
    other.stop(0)
    assert "no Osprey server answers there" in str(uplink.refusal)


def test_silent_server_is_left_and_tried_again(server, connect):
    server.is_silent = True
    uplink = connect(welcome_timeout_s=0.1)
    turn_until(uplink, lambda: len(server.hellos) >= 2)
    assert "no welcome" in uplink.status.problem


def test_missing_acknowledgements_end_the_stream_and_everything_is_sent_again(server, spool, connect):
    server.acknowledges = False
    uplink = connect(ack_timeout_s=0.1)
    fill(spool, 10)
    turn_until(uplink, lambda: len(server.hellos) >= 2)
    server.acknowledges = True
    turn_until(uplink, lambda: spool.depth == 0)
    assert sorted(server.stored[spool.spool_id]) == list(range(1, 11))


def test_acknowledgement_of_what_was_never_sent_deletes_nothing(server, spool, connect):
    server.overacks = True
    uplink = connect()
    fill(spool, 3)
    turn_until(uplink, lambda: "only 3 was sent" in uplink.status.problem)
    fill(spool, 3)
    assert spool.depth >= 3


def test_refused_observations_are_counted_apart(server, spool, connect):
    server.rejected_seqs = {2, 5}
    uplink = connect()
    fill(spool, 20)
    turn_until(uplink, lambda: spool.depth == 0)
    assert (uplink.status.acknowledged, uplink.status.rejected, server.num_stored) == (18, 2, 18)


def test_older_space_travels_under_its_own_name(server, spool, connect):
    fill(spool, 5, space="s0")
    fill(spool, 5, space="s1")
    uplink = connect()
    turn_until(uplink, lambda: spool.depth == 0)
    assert [(batch.space, len(batch.observations)) for batch in server.batches] == [("s0", 5), ("s1", 5)]


def test_refused_older_space_is_named_with_the_way_out_and_blocks_nobody_for_ever(server, spool, connect):
    server.served_space = "s1"
    fill(spool, 5, space="s0")
    fill(spool, 5, space="s1")
    uplink = connect()
    turn_until(uplink, lambda: uplink.refusal)
    assert "older space 's0'" in uplink.status.problem
    assert "another spool file" in uplink.status.problem
    server.served_space = ""
    turn_until(uplink, lambda: spool.depth == 0)


def test_each_hello_names_the_release_that_runs_at_that_moment(server, spool, connect):
    running = [RELEASE, ReleaseRef("tiny", "2", "s2")]
    uplink = connect(identity=lambda: EdgeIdentity("edge1", ["cam1"], running[0], DIM))
    fill(spool, 5)
    turn_until(uplink, lambda: spool.depth == 0)
    running.pop(0)
    server.stop()
    server.start()
    turn_until(uplink, lambda: len(server.hellos) == 2)
    assert [(hello.release.version, hello.release.space) for hello in server.hellos] == [("1", "s1"), ("2", "s2")]


@pytest.mark.parametrize("acknowledges", [True, False], ids=["old-through", "old-under-way"])
def test_a_newer_space_that_the_server_does_not_serve_is_refused_in_its_words(server, spool, connect, acknowledges):
    server.served_space, server.acknowledges = "s1", acknowledges
    running = [RELEASE, ReleaseRef("tiny", "2", "s2")]
    uplink = connect(identity=lambda: EdgeIdentity("edge1", ["cam1"], running[0], DIM), ack_timeout_s=60)
    turn_until(uplink, lambda: uplink.status.state is UplinkState.STREAMING)
    running.pop(0)
    fill(spool, 32, space="s1")
    fill(spool, 32, space="s2")
    turn_until(uplink, lambda: uplink.status.state is UplinkState.REFUSED)
    assert "serves 's1'" in uplink.status.problem
    assert "older space" not in uplink.status.problem


def test_refusal_of_the_present_space_is_the_servers_own_words(server, spool, connect):
    server.served_space = "s9"
    fill(spool, 5, space="s1")
    uplink = connect()
    turn_until(uplink, lambda: uplink.refusal)
    assert uplink.status.problem.endswith("serves 's9'")


def test_camera_that_is_no_longer_configured_is_still_announced(server, spool, connect):
    fill(spool, 3, camid="garage")
    uplink = connect()
    turn_until(uplink, lambda: spool.depth == 0)
    assert list(server.hellos[0].camids) == ["cam1", "garage"]
    assert server.batches[0].observations[0].camera_index == 1


def test_gap_left_by_the_bound_is_skipped(server, spool, connect):
    fill(spool, 10)
    spool._connection.execute("DELETE FROM observations WHERE seq < 6")
    uplink = connect()
    turn_until(uplink, lambda: server.num_stored == 5)
    assert server.received == [6, 7, 8, 9, 10]


def test_run_works_until_stopped_and_ends_its_stream(server, spool, connect):
    uplink, stop = connect(), threading.Event()
    fill(spool, 20)
    thread = threading.Thread(target=uplink.run, args=(stop,))
    thread.start()
    until_s = time.monotonic() + 20
    while spool.depth and time.monotonic() < until_s:
        stop.wait(0.01)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert (spool.depth, uplink.status.state) == (0, UplinkState.CLOSED)
