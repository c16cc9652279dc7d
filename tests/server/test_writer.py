from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest
from fakes_stream import SPOOL, ServerParts, batch, observation

from server.errors import StoppingError, StorageError
from server.ingest import Batch
from server.types import Spool
from server.writer import Writer, WriterSettings


class Gate:
    """An ingest that records its steps, waits for a go, and fails as told."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.failures: list[Exception] = []
        self.poison: set[int] = set()

    def step(self, batches: Sequence[Batch]) -> list[int]:
        assert self.go.wait(10)
        self.steps.append([item.last_seq for item in batches])
        if self.failures:
            raise self.failures.pop()
        if any(item.last_seq in self.poison for item in batches):
            raise ZeroDivisionError("a fault of ours")
        return [item.last_seq for item in batches]


def run(scenario: Callable[[Writer, Gate], Awaitable[None]], settings: WriterSettings | None = None) -> Gate:
    gate = Gate()

    async def main() -> None:
        writer = Writer(gate, settings or WriterSettings())  # type: ignore[arg-type]
        running = asyncio.create_task(writer.run())
        await scenario(writer, gate)
        gate.go.set()
        await writer.close()
        await running

    asyncio.run(main())
    return gate


def numbered(seq: int, spool: Spool = SPOOL) -> Batch:
    return batch(seq, observation(), spool=spool)


def test_batches_that_gather_during_a_step_become_the_next_one() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gate.go.clear()
        feed = writer.open_feed()
        first = await feed.submit(numbered(1))
        while writer.num_queued:
            await asyncio.sleep(0)
        rest = [await feed.submit(numbered(seq)) for seq in (2, 3, 4)]
        gate.go.set()
        assert await asyncio.gather(first, *rest) == [1, 2, 3, 4]

    assert run(scenario).steps == [[1], [2, 3, 4]]


def test_a_step_is_bounded() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gate.go.clear()
        futures = [await writer.open_feed().submit(numbered(seq)) for seq in range(1, 8)]
        gate.go.set()
        await asyncio.gather(*futures)

    assert max(map(len, run(scenario, WriterSettings(max_step_observations=2)).steps)) == 2


def test_a_full_queue_makes_the_stream_wait() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gate.go.clear()
        feed = writer.open_feed()
        submitted = 0

        async def flood() -> None:
            nonlocal submitted
            for seq in range(1, 20):
                await feed.submit(numbered(seq))
                submitted += 1

        flooding = asyncio.create_task(flood())
        for _ in range(100):
            await asyncio.sleep(0)
        assert submitted <= 4
        gate.go.set()
        await flooding
        assert submitted == 19

    run(scenario, WriterSettings(queue_batches=2, max_step_observations=1))


def test_after_a_failure_nothing_later_of_that_feed_is_stored() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gate.failures = [StorageError("disk full")]
        feed = writer.open_feed()
        for seq in (1, 2, 3):
            with pytest.raises(StorageError, match="disk full"):
                await (await feed.submit(numbered(seq)))
        assert await (await writer.open_feed().submit(numbered(1))) == 1

    assert run(scenario).steps == [[1], [1]]


def test_a_poisoned_batch_hurts_its_own_feed_only() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gate.go.clear()
        gate.poison = {2}
        bad, good = writer.open_feed(), writer.open_feed()
        await good.submit(numbered(10))
        futures = [await feed.submit(numbered(seq)) for feed, seq in ((bad, 2), (good, 11), (bad, 3), (good, 12))]
        gate.go.set()
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, int, ZeroDivisionError, int]

    run(scenario)


def test_closing_stores_what_is_queued_and_refuses_the_rest() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        queued = await writer.open_feed().submit(numbered(1))
        await writer.close()
        with pytest.raises(StoppingError, match="stopping"):
            await (await writer.open_feed().submit(numbered(2)))
        assert await queued == 1

    run(scenario)


def test_a_stream_that_is_gone_does_not_stop_the_writer() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        gone = await writer.open_feed().submit(numbered(1))
        gone.cancel()
        assert await (await writer.open_feed().submit(numbered(2))) == 2

    run(scenario)


def test_a_failed_commit_in_front_of_queued_batches_loses_nothing(parts: ServerParts) -> None:
    async def main() -> None:
        writer = Writer(parts.ingest, WriterSettings(max_step_observations=1))
        parts.records.num_failures = 1
        feed = writer.open_feed()
        futures = [await feed.submit(numbered(seq)) for seq in (1, 2, 3)]
        running = asyncio.create_task(writer.run())
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(outcome, StorageError) for outcome in outcomes)
        assert parts.ingest.acked_seq(SPOOL) == 0
        await writer.close()
        await running

    asyncio.run(main())


def test_operations_without_end_do_not_keep_batches_waiting() -> None:
    async def scenario(writer: Writer, gate: Gate) -> None:
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[int] = loop.create_future()

        def operate() -> None:  # the next one is there before this one has ended
            if not durable.done():
                loop.call_soon_threadsafe(writer.submit_operation, operate)

        writer.submit_operation(operate)
        durable = await writer.open_feed().submit(numbered(1))
        assert await asyncio.wait_for(durable, 10) == 1

    run(scenario)
