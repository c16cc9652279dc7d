from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes_source import LONG_S

from edge.batching import (
    BatchCounts,
    BatchingEmbedder,
    BatchingSettings,
    Turn,
    Waiting,
    next_turn,
)
from edge.engine import Embedded
from edge.worker_thread import WorkerThread
from reid.errors import EmbeddingError
from reid.types import ReleaseRef

PATIENT = BatchingSettings(max_crops=8, budget_ms=1000)
HASTY = BatchingSettings(max_crops=8, budget_ms=0)


@pytest.mark.parametrize(
    ("waiting", "num_expected", "settings", "turn"),
    [
        ([], 2, HASTY, Turn(0, 0.2)),
        ([(3, 0.0)], 0, PATIENT, Turn(1)),
        ([(3, 0.0)], 1, HASTY, Turn(1)),
        ([(3, 0.25)], 1, PATIENT, Turn(0, 0.75)),
        ([(3, 0.25), (1, 0.0)], 1, PATIENT, Turn(0, 0.75)),
        ([(3, 1.0), (1, 0.0)], 1, PATIENT, Turn(2)),
        ([(3, 0.0), (1, 0.0)], 0, PATIENT, Turn(2)),
        ([(3, 0.0), (5, 0.0)], 1, PATIENT, Turn(2)),
        ([(3, 0.0), (5, 0.0), (1, 0.0)], 0, HASTY, Turn(2)),
        ([(3, 0.0), (6, 0.0), (1, 0.0)], 0, HASTY, Turn(1)),
        ([(30, 0.0), (1, 0.0)], 3, PATIENT, Turn(1)),
        ([(1, 0.0), (30, 0.0)], 3, PATIENT, Turn(1)),
        ([(1, 0.0)] * 3, 0, BatchingSettings(max_crops=1), Turn(1)),
    ],
    ids=[
        "nothing-waits",
        "a-single-camera-never-waits",
        "nobody-waits-without-a-budget",
        "one-waits-for-another-camera",
        "the-oldest-sets-the-limit",
        "the-budget-is-spent",
        "all-have-asked",
        "the-batch-is-full",
        "what-does-not-fit-waits",
        "the-order-is-kept",
        "a-large-frame-goes-alone",
        "a-large-frame-comes-next",
        "joining-is-off",
    ],
)
def test_what_is_embedded_now(waiting, num_expected, settings, turn):
    assert next_turn([Waiting(*row) for row in waiting], num_expected=num_expected, settings=settings) == turn


def crops_of(*levels: int):
    return np.stack([np.full((256, 128, 3), level, np.uint8) for level in levels])


class FakeInner:
    """Embeds a crop as its grey level; remembers its batches; fails as told."""

    def __init__(self):
        self.batches = []
        self.error = None

    def embed(self, crops):
        if self.error is not None:
            raise self.error
        levels = crops[:, 0, 0, 0].astype(np.float32)
        self.batches.append(levels.tolist())
        return Embedded(np.stack([levels, np.ones_like(levels)], axis=1), ReleaseRef("tiny", "1", "s1"))


@pytest.fixture
def inner():
    return FakeInner()


def levels(answer):
    return answer.result(timeout=0).embeddings[:, 0].tolist()


def test_every_camera_gets_its_own_rows_of_one_batch(inner):
    shared = BatchingEmbedder(inner)
    answers = [shared.ask(crops_of(*wanted)) for wanted in ((1, 2), (3,), (4, 5, 6))]
    assert shared.depth == 3
    assert shared.step(timeout_s=0) == 3
    assert inner.batches == [[1, 2, 3, 4, 5, 6]]
    assert [levels(answer) for answer in answers] == [[1, 2], [3], [4, 5, 6]]
    assert answers[0].result().release.space == "s1"
    assert shared.counts == BatchCounts(batches=1, joined=1, crops=6)


def test_rows_of_one_camera_do_not_keep_those_of_others_alive(inner):
    shared = BatchingEmbedder(inner)
    answer = shared.ask(crops_of(1))
    shared.ask(crops_of(2, 3))
    shared.step(timeout_s=0)
    assert answer.result(timeout=0).embeddings.base is None


def test_batches_are_bounded_and_no_frame_is_split(inner):
    shared = BatchingEmbedder(inner, BatchingSettings(max_crops=3))
    for wanted in ((1, 2), (3, 4), (5, 6, 7, 8, 9), (10,)):
        shared.ask(crops_of(*wanted))
    while shared.step(timeout_s=0):
        pass
    assert inner.batches == [[1, 2], [3, 4], [5, 6, 7, 8, 9], [10]]
    assert shared.counts == BatchCounts(batches=4, joined=0, crops=10)


@pytest.mark.parametrize(
    "crops", [np.zeros((2, 64, 32, 3), np.uint8), np.zeros((1, 256, 128, 3), np.float32)], ids=["size", "type"]
)
def test_bad_crops_of_one_camera_harm_only_itself(inner, crops):
    shared = BatchingEmbedder(inner)
    good = shared.ask(crops_of(1))
    with pytest.raises(EmbeddingError, match="crops are"):
        shared.port().embed(crops)
    shared.step(timeout_s=0)
    assert levels(good) == [1]


@pytest.mark.parametrize(
    ("error", "message"),
    [(EmbeddingError("not finite"), "^not finite$"), (RuntimeError("device lost"), "^RuntimeError: device lost$")],
    ids=["foreseen", "unforeseen"],
)
def test_a_failed_batch_is_an_error_of_its_own_for_each_camera_and_the_next_goes_on(inner, error, message):
    shared = BatchingEmbedder(inner)
    answers = [shared.ask(crops_of(1)), shared.ask(crops_of(2))]
    inner.error = error
    shared.step(timeout_s=0)
    raised = [answer.exception(timeout=0) for answer in answers]
    assert raised[0] is not raised[1]
    for answer in answers:
        with pytest.raises(EmbeddingError, match=message):
            answer.result()
    inner.error = None
    later = shared.ask(crops_of(3))
    shared.step(timeout_s=0)
    assert levels(later) == [3]


def test_stages_are_timed_for_each_request_and_each_batch(inner):
    now_s = iter([0.0, 2.0, *[5.0] * 20])
    shared = BatchingEmbedder(inner, clock=lambda: next(now_s))
    shared.ask(crops_of(1))
    shared.ask(crops_of(2))
    shared.step(timeout_s=0)
    durations = shared.times.durations()
    assert (durations["embed_wait"].count, durations["embed_wait"].total_s) == (2, 8.0)
    assert durations["embed_batch"].count == 1


def run_in_thread(shared):
    return WorkerThread("embedding", shared.run, threading.Event())


def end(thread):
    thread.stop.set()
    thread.join(LONG_S)
    assert not thread.is_alive


def test_cameras_in_threads_get_what_they_asked_for(inner):
    shared = BatchingEmbedder(inner, BatchingSettings(max_crops=4, budget_ms=1))
    thread = run_in_thread(shared)

    def play(camera):
        port, seen = shared.port(), []
        for turn in range(30):
            with port.frame():
                seen.append(port.embed(crops_of(camera, turn)).embeddings[:, 0].tolist())
        return seen == [[camera, turn] for turn in range(30)]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(play, range(4)))
    end(thread)
    assert shared.counts.crops == 240
    assert shared.heartbeat.silent_s == 0.0


def test_a_camera_at_work_is_waited_for_and_joined(inner):
    shared = BatchingEmbedder(inner, PATIENT, clock=lambda: 0.0)  # time stands still: no budget is ever spent
    late = shared.port()
    with late.frame(), ThreadPoolExecutor(2) as pool:
        turn = pool.submit(shared.step, timeout_s=LONG_S)
        early = pool.submit(shared.port().embed, crops_of(1))
        while not shared.depth:
            time.sleep(0.001)
        assert late.embed(crops_of(2)).embeddings[:, 0].tolist() == [2]
        assert turn.result(LONG_S) == 2
        assert early.result(LONG_S).embeddings[:, 0].tolist() == [1]


def test_a_camera_whose_frame_shows_nobody_is_waited_for_no_longer(inner):
    shared = BatchingEmbedder(inner, PATIENT, clock=lambda: 0.0)
    idle = shared.port()
    with ThreadPoolExecutor(1) as pool:
        with idle.frame():
            answer = shared.ask(crops_of(1))
            turn = pool.submit(shared.step, timeout_s=LONG_S)
        assert turn.result(LONG_S) == 1
    assert levels(answer) == [1]


def test_what_waits_at_the_stop_is_embedded_and_nothing_after_it(inner):
    shared = BatchingEmbedder(inner)
    answer, stop = shared.ask(crops_of(1)), threading.Event()
    stop.set()
    shared.run(stop)
    assert levels(answer) == [1]
    with pytest.raises(EmbeddingError, match="nothing is embedded any more"):
        shared.port().embed(crops_of(2))


def test_a_fault_of_ours_ends_the_thread_visibly_and_nobody_waits_for_it(inner):
    inner.error = SystemExit("a fault of ours")
    shared = BatchingEmbedder(inner, BatchingSettings(max_crops=1))
    answers = [shared.ask(crops_of(1)), shared.ask(crops_of(2))]
    thread = run_in_thread(shared)
    thread.join(LONG_S)
    assert isinstance(thread.failure, SystemExit)
    assert [type(answer.exception(timeout=LONG_S)) for answer in answers] == [EmbeddingError] * 2
