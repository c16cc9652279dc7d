from __future__ import annotations

import asyncio
import threading
import time

import grpc
import numpy as np
import pytest
from fakes_crops import EXPIRED, FORGOTTEN, OK, OVER_BUDGET, UNKNOWN, FakeCropServer
from makers import make_observation

from edge.crop_answers import CropAnswers, CropExchangeState
from edge.ring import CropRing, KeptCrop, Missing, NumberedCrop, RingSettings
from edge.uplink import UplinkSettings
from protos import crops_pb2, crops_pb2_grpc
from reid.types import PROTOCOL_VERSION

LONG_S = 20.0
PATIENCE = UplinkSettings(backoff_first_s=0.01, backoff_most_s=0.02, refused_retry_s=0.05)


class Desk:
    """A ring with ten crops, their answers, and the days."""

    def __init__(self, folder):
        settings = RingSettings()
        self.today = 20_000
        self.ring = CropRing(folder / "ring", spool_id="spool-1", secret=lambda: b"s" * 32, settings=settings)
        rng = np.random.default_rng(1)
        for seq in range(1, 11):
            crop = rng.integers(0, 256, (256, 128, 3), dtype=np.uint8)
            self.ring.keep([NumberedCrop(seq, make_observation(seq), crop)])
        self.crop_bytes = len(self.ring.find(1).jpeg)

    def answers(self, address, *, daily_limit_bytes=1 << 30):
        return CropAnswers(
            address,
            "edge1",
            "spool-1",
            self.ring,
            daily_limit_bytes=daily_limit_bytes,
            patience=PATIENCE,
            today=lambda: self.today,
        )


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.ring.close()


@pytest.fixture
def server():
    server = FakeCropServer()
    yield server
    server.stop()


@pytest.fixture
def start(desk, server):
    """Starts the answering in a thread; ends it after the test."""
    running = []

    def begin(**changes):
        answers, stop = desk.answers(server.address, **changes), threading.Event()
        thread = threading.Thread(target=answers.run, args=(stop,))
        thread.start()
        running.append((stop, thread))
        return answers

    yield begin
    for stop, thread in running:
        stop.set()
        thread.join(LONG_S)
        assert not thread.is_alive()


def wait_until(condition):
    until_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until_s, "did not happen"
        time.sleep(0.005)


def statuses(server):
    return [answer.status for answer in server.answers]


def test_hello_names_the_edge_and_the_spool(server, start):
    start()
    wait_until(lambda: server.hellos)
    hello = server.hellos[0]
    assert (hello.protocol_version, hello.edge_id, hello.spool_id) == (PROTOCOL_VERSION, "edge1", "spool-1")


def test_each_asked_crop_is_answered_once_and_nothing_else_leaves(desk, server, start):
    answers = start()
    server.ask([3, 1, 99], spool_id="spool-1", request_id="r7")
    wait_until(lambda: len(server.answers) == 3)
    assert {answer.request_id for answer in server.answers} == {"r7"}
    assert [(answer.seq, answer.status) for answer in server.answers] == [(3, OK), (1, OK), (99, UNKNOWN)]
    kept, sent = desk.ring.find(3), server.answers[0]
    assert (sent.jpeg, sent.time_us, sent.box.x1) == (kept.jpeg, kept.time_us, kept.box.x1)
    time.sleep(0.1)
    assert len(server.answers) == 3
    assert answers.status.answers == {"sent": 2, "unknown": 1}
    assert answers.status.bytes_sent > 2 * desk.crop_bytes


def test_nothing_leaves_while_nothing_is_asked(server, start):
    start()
    wait_until(lambda: server.hellos)
    time.sleep(0.1)
    assert server.answers == []


def test_another_spools_crops_are_unknown_and_older_ones_expired(desk, server, start):
    desk.ring._settings = RingSettings(keep_days=1e-9)
    start()
    server.ask([1], spool_id="spool-2")
    server.ask([1], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 2)
    assert statuses(server) == [UNKNOWN, EXPIRED]


@pytest.mark.parametrize(
    ("crops_bytes", "num_sent"), [(0, 0), (0.5, 0), (2.5, 2), (100, 10)], ids=["none", "too few", "some", "all"]
)
def test_a_request_gets_no_more_than_its_bytes(desk, server, start, crops_bytes, num_sent):
    start()
    max_bytes = int(crops_bytes * desk.crop_bytes)
    server.ask(range(1, 11), spool_id="spool-1", max_bytes=max_bytes)
    wait_until(lambda: len(server.answers) == 10)
    assert statuses(server) == [OK] * num_sent + [OVER_BUDGET] * (10 - num_sent)
    assert sum(answer.ByteSize() for answer in server.answers if answer.jpeg) <= max_bytes


def test_answers_without_a_crop_count_as_well(desk, server, start):
    start()
    server.ask([*[99] * 20, 1], spool_id="spool-1", max_bytes=desk.crop_bytes + 100)
    wait_until(lambda: len(server.answers) == 21)
    assert statuses(server) == [UNKNOWN] * 20 + [OVER_BUDGET]


def test_a_day_gets_no_more_than_its_own_bytes_whatever_is_asked_for(desk, server, start):
    start(daily_limit_bytes=int(3.5 * desk.crop_bytes))
    for _ in range(2):
        server.ask(range(1, 6), spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 10)
    assert statuses(server) == [OK] * 3 + [OVER_BUDGET] * 7
    desk.today += 1
    server.ask([5], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 11)
    assert statuses(server)[-1] == OK


def test_a_start_does_not_begin_a_new_budget(desk, server, start):
    desk.ring.write_traffic(desk.today, 3 * desk.crop_bytes)
    start(daily_limit_bytes=int(3.5 * desk.crop_bytes))
    server.ask([1], spool_id="spool-1")
    wait_until(lambda: server.answers)
    assert statuses(server) == [OVER_BUDGET]


def test_what_was_sent_is_remembered_for_the_next_start(desk, server, start):
    start()
    server.ask([1, 2], spool_id="spool-1")
    wait_until(lambda: desk.ring.read_traffic()[1] >= 2 * desk.crop_bytes)
    assert desk.ring.read_traffic()[0] == desk.today


def test_a_stream_that_breaks_in_mid_request_is_opened_again(desk, server, start):
    server.break_after = 2
    answers = start()
    server.ask(range(1, 11), spool_id="spool-1")
    wait_until(lambda: len(server.hellos) == 2)
    server.ask([7], spool_id="spool-1", request_id="again")
    wait_until(lambda: any(answer.request_id == "again" for answer in server.answers))
    assert answers.status.state is CropExchangeState.OPEN


def test_requests_that_wait_on_a_broken_stream_do_not_hold_up_the_next(desk, server, start):
    server.break_after = 1
    start()
    for _ in range(50):
        server.ask([1] * 10, spool_id="spool-1")
    wait_until(lambda: len(server.hellos) == 2)
    while not server.wanted.empty():
        server.wanted.get_nowait()
    server.ask([2], spool_id="spool-1", request_id="again")
    wait_until(lambda: any(answer.request_id == "again" for answer in server.answers))


def test_a_server_that_comes_back_is_found(server, start):
    answers = start()
    wait_until(lambda: server.hellos)
    server.stop()
    wait_until(lambda: answers.status.problem)
    server.start()
    wait_until(lambda: len(server.hellos) == 2)


@pytest.mark.parametrize(
    "changes",
    [{"seqs": range(1, 2000)}, {"seqs": [1], "request_id": "r" * 1000}],
    ids=["too many", "long name"],
)
def test_a_request_beyond_all_measure_ends_the_stream_unanswered(server, start, changes):
    answers = start()
    server.ask(**changes, spool_id="spool-1")
    wait_until(lambda: len(server.hellos) == 2)
    assert (server.answers, answers.status.requests) == ([], 0)


def test_numbers_by_the_million_are_not_even_read(server, start):
    answers = start()
    server.ask([1 << 62] * 1_000_000, spool_id="spool-1")
    wait_until(lambda: len(server.hellos) == 2)
    assert "larger than max" in answers.status.problem
    assert server.answers == []


def test_numbers_that_no_spool_gives_out_are_unknown(server, start):
    start()
    server.ask([0, (1 << 64) - 1], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 2)
    assert statuses(server) == [UNKNOWN, UNKNOWN]


def test_a_server_that_reads_no_answers_makes_nothing_pile_up(server, start):
    server.is_deaf = True
    answers = start()
    for _ in range(100):
        server.ask(list(range(1, 11)) * 100, spool_id="spool-1")
    time.sleep(1.0)
    assert answers._stream.num_queued <= 8
    assert answers._inbox.qsize() <= 4
    assert answers.status.state is CropExchangeState.OPEN


def test_an_older_server_without_crops_is_asked_again_later(desk, start):
    other = grpc.server(thread_pool=None)
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    answers = desk.answers(f"127.0.0.1:{port}")
    until_s = time.monotonic() + LONG_S
    while not answers.status.problem and time.monotonic() < until_s:
        answers.step(timeout_s=0.01)
    other.stop(0)
    assert answers.status.state is CropExchangeState.REFUSED
    assert "this server asks for no crops" in answers.status.problem
    answers.close()


def test_a_refused_edge_is_let_in_once_the_server_changes_its_mind(server, start):
    server.refuse = (grpc.StatusCode.PERMISSION_DENIED, "unknown edge")
    answers = start()
    wait_until(lambda: "unknown edge" in answers.status.problem)
    server.refuse = None
    server.ask([1], spool_id="spool-1")
    wait_until(lambda: statuses(server) == [OK])


def test_stopping_does_not_wait_for_what_is_asked(desk, server):
    answers, stop = desk.answers(server.address), threading.Event()
    thread = threading.Thread(target=answers.run, args=(stop,))
    thread.start()
    for _ in range(20):
        server.ask([1] * 1000, spool_id="spool-1")
    wait_until(lambda: server.answers)
    begun_s = time.monotonic()
    stop.set()
    thread.join(LONG_S)
    assert time.monotonic() - begun_s < 2.0
    assert (answers.status.state, answers.heartbeat.silent_s) == (CropExchangeState.CLOSED, 0.0)


def test_a_ring_that_fails_costs_the_crops_it_should_have_given(desk, server, start):
    desk.ring.close()
    start()
    server.ask([1, 2], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 2)
    assert statuses(server) == [EXPIRED, EXPIRED]


def test_crops_to_forget_are_deleted_and_each_is_answered_also_one_that_never_was(desk, server, start):
    answers = start()
    server.forget([3, 99, 3], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 3)
    assert [(answer.seq, answer.status, answer.jpeg) for answer in server.answers] == [
        (seq, FORGOTTEN, b"") for seq in (3, 99, 3)
    ]
    assert desk.ring.find(3) is Missing.UNKNOWN
    assert isinstance(desk.ring.find(4), KeptCrop)
    assert answers.status.answers == {"forgotten": 3}


def test_forgetting_comes_before_asking_and_needs_no_budget(desk, server, start):
    start(daily_limit_bytes=int(1.5 * desk.crop_bytes))
    server.forget(range(2, 11), spool_id="spool-1", asked=[2, 1], max_bytes=1 << 20)
    wait_until(lambda: len(server.answers) == 11)
    assert statuses(server) == [FORGOTTEN] * 9 + [UNKNOWN, OK]
    server.forget([1], spool_id="spool-1")
    wait_until(lambda: len(server.answers) == 12)
    assert desk.ring.status.num_crops == 0


def test_nothing_is_forgotten_for_another_spool(desk, server, start):
    start()
    server.forget([1], spool_id="spool-2")
    wait_until(lambda: server.answers)
    assert statuses(server) == [UNKNOWN]
    assert isinstance(desk.ring.find(1), KeptCrop)


def test_what_cannot_be_forgotten_now_is_not_confirmed(desk, server, start):
    desk.ring.close()
    answers = start()
    server.forget([1], spool_id="spool-1")
    wait_until(lambda: len(server.hellos) == 2)
    assert server.answers == []
    assert "the crop ring is closed" in answers.status.problem


def test_a_server_of_the_real_kind_gets_what_it_asks_for(desk):
    asyncio.run(asyncio.wait_for(_exchange_with_aio(desk), LONG_S))


async def _exchange_with_aio(desk):
    answers = []

    class Servicer(crops_pb2_grpc.CropServiceServicer):
        async def ExchangeCrops(self, requests, context):  # noqa: N802
            await context.read()
            request = crops_pb2.CropRequest(request_id="r", max_bytes=1 << 20, spool_id="spool-1", seqs=[1, 2])
            await context.write(crops_pb2.ExchangeCropsResponse(request=request))
            answers.extend([(await context.read()).answer for _ in range(2)])
            done.set()

    done, stop, server = asyncio.Event(), threading.Event(), grpc.aio.server()
    crops_pb2_grpc.add_CropServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    thread = threading.Thread(target=desk.answers(f"127.0.0.1:{port}").run, args=(stop,))
    thread.start()
    await done.wait()
    stop.set()
    await asyncio.to_thread(thread.join, LONG_S)
    await server.stop(0)
    assert [(answer.seq, answer.status) for answer in answers] == [(1, OK), (2, OK)]
