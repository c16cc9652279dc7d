"""Simulated edges: processes with many real gRPC streams each, which send at a given rate or as fast as they may.

`run_load` starts the processes and collects what they saw. An edge keeps to the window that its welcome allows. At a
given rate a batch counts as late from the moment it was due, whether it could be sent then or not.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import numpy as np

from benchmarks.instruments.load_messages import World
from protos.ingest_pb2 import StreamObservationsRequest, StreamObservationsResponse
from reid.types import AnyArray

_METHOD = "/osprey.v1.IngestService/StreamObservations"
_PATIENCE_S = 120.0
"""For welcomes, and for the last acknowledgements."""
_BROKEN = (
    ConnectionError,
    asyncio.CancelledError,
    asyncio.InvalidStateError,
    asyncio.TimeoutError,
    grpc.RpcError,
    grpc.aio.UsageError,
)
"""What a line that breaks in mid-stream comes to."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to send.

    Attributes:
        address: `HOST:PORT` of the server.
        world: What the edges see.
        edges: How many, over all processes.
        batch: Observations in a message.
        rate_hz: Observations a second, of all edges together; 0 sends as fast as the windows allow.
        seconds: How long.
        lead_in: Observations that every edge sends before the time begins, as fast as it may: a server that knows
            nobody yet has other work than one in the midst of its day.
        reconnects: Every tenth edge drops its stream half-way, without a word, and sends again from its last
            acknowledgement, the last acknowledged batch included.
        is_endless: Go on after a lost stream until the time is over: for servers that are killed.
    """

    address: str
    world: World
    edges: int
    batch: int = 16
    rate_hz: float = 0.0
    seconds: float = 10.0
    lead_in: int = 0
    reconnects: bool = False
    is_endless: bool = False


@dataclass(frozen=True)
class LoadReport:
    """What the edges saw.

    Attributes:
        acked_N3: float64 (N, 3), one row an acknowledgement: seconds since the start, observations newly acknowledged,
            seconds since the batch was sent or due; in order of time.
        acked_seqs: By edge, the highest sequence number that was acknowledged.
        errors: Why streams ended, if they ended before their time.
        cpu_s: Of all processes.
    """

    acked_N3: AnyArray
    acked_seqs: dict[int, int]
    errors: list[str]
    cpu_s: float


def run_load(load: Load, *, processes: int = 1) -> LoadReport:
    """Run the simulated edges to their end.

    Raises:
        subprocess.CalledProcessError: A process failed; its trace is on stderr.
    """
    running = [start_load(load, index, processes) for index in range(processes)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # all its edges are welcomed
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return merge_reports([finish_load(process) for process in running])


def start_load(load: Load, index: int = 0, processes: int = 1) -> subprocess.Popen[str]:
    """Start one of the processes; it says a line when its edges are connected, and waits for one."""
    words = [sys.executable, "-m", "benchmarks.instruments.load", json.dumps(asdict(load)), str(index), str(processes)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish_load(process: subprocess.Popen[str]) -> LoadReport:
    """Wait for a process and read its report.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    out, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "load")
    said = json.loads(out.splitlines()[-1])
    acked_seqs = {int(edge): seq for edge, seq in said["acked_seqs"].items()}
    return LoadReport(np.array(said["acked"]).reshape(-1, 3), acked_seqs, said["errors"], said["cpu_s"])


def merge_reports(reports: Sequence[LoadReport]) -> LoadReport:
    """One report of several processes."""
    rows = np.concatenate([report.acked_N3 for report in reports])
    return LoadReport(
        rows[np.argsort(rows[:, 0])],
        {edge: seq for report in reports for edge, seq in report.acked_seqs.items()},
        [error for report in reports for error in report.errors],
        sum(report.cpu_s for report in reports),
    )


class _Edge:
    """One simulated edge."""

    def __init__(self, number: int, load: Load, acked: list[tuple[float, int, float]]) -> None:
        self.number = number
        self.acked_seq = 0
        self._load = load
        self._acked = acked
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
        self._channel = grpc.aio.insecure_channel(load.address, options=options)
        self._open: Any = self._channel.stream_stream(_METHOD)
        self.start_s = 0.0  # of the loop's clock; what is acknowledged is counted from there

    @property
    def is_open(self) -> bool:
        """Its stream was welcomed and has not ended."""
        return not self._reading.done()

    async def connect(self) -> None:
        self._call: Any = self._open()
        self._under_way: deque[tuple[int, float]] = deque()
        hello = self._load.world.hello(self.number, sent_at_us=time.time_ns() // 1000)
        await self._call.write(StreamObservationsRequest(hello=hello).SerializeToString())
        answer: Any = await asyncio.wait_for(self._call.read(), _PATIENCE_S)
        if answer is grpc.aio.EOF:
            raise ConnectionError(f"edge {self.number}: {await self._call.code()} {await self._call.details()}")
        welcome = StreamObservationsResponse.FromString(answer).welcome
        self.acked_seq = max(self.acked_seq, welcome.acked_seq)
        self._window = asyncio.Semaphore(welcome.window_batches)
        self._reading = asyncio.create_task(self._read())

    async def lead_in(self) -> None:
        """Send the observations that do not count; returns when they are acknowledged."""
        for seq in range(self.acked_seq + 1, self._load.lead_in + 1, self._load.batch):
            await self._write(seq, asyncio.get_running_loop().time())
        while self._under_way and not self._reading.done():
            await asyncio.sleep(0.01)

    async def send(self, end_s: float, *, from_seq: int) -> None:
        """Send from `from_seq` on until a moment of the loop's clock, then wait for the acknowledgements."""
        try:
            await self._send(end_s, seq=from_seq)
            if not self._reading.done():
                await self._call.done_writing()
            await asyncio.wait_for(self._reading, _PATIENCE_S)
        finally:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def drop(self) -> None:
        self._call.cancel()

    async def close(self) -> None:
        await self._channel.close()

    async def _send(self, end_s: float, *, seq: int) -> None:
        loop, load = asyncio.get_running_loop(), self._load
        period_s = load.batch * load.edges / load.rate_hz if load.rate_hz else 0.0
        due_s = loop.time() + (self.number * 0.618034) % 1.0 * period_s
        while not self._reading.done() and loop.time() < end_s:
            if period_s:
                await asyncio.sleep(due_s - loop.time())
            await self._write(seq, due_s if period_s else None, end_s=end_s)
            seq += load.batch
            due_s += period_s

    async def _write(self, seq: int, due_s: float | None, *, end_s: float = float("inf")) -> None:
        """Send one batch when the window allows, unless it is too late by then or nobody answers any more."""
        await _first_of(self._window.acquire(), self._reading)
        now_s = asyncio.get_running_loop().time()
        if now_s >= end_s or self._reading.done():
            return
        self._under_way.append((seq + self._load.batch - 1, now_s if due_s is None else due_s))
        await self._call.write(self._load.world.message(self.number, seq, self._load.batch))

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            acked_seq = StreamObservationsResponse.FromString(answer).acknowledgement.acked_seq
            now_s = now()
            while self._under_way and self._under_way[0][0] <= acked_seq:
                last_seq, sent_s = self._under_way.popleft()
                self._window.release()
                self._acked.append((now_s - self.start_s, max(0, last_seq - self.acked_seq), now_s - sent_s))
                self.acked_seq = max(self.acked_seq, last_seq)
        if await self._call.code() is not grpc.StatusCode.OK:
            raise ConnectionError(f"edge {self.number}: {await self._call.code()} {await self._call.details()}")


async def _first_of(awaited: Any, reading: asyncio.Task[None]) -> None:
    waiting = asyncio.ensure_future(awaited)
    if not waiting.done():
        await asyncio.wait((waiting, reading), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()


async def _live(edge: _Edge, load: Load, end_s: float) -> None:
    """What one edge does in its time."""
    if load.reconnects and edge.number % 10 == 0:
        first = asyncio.create_task(edge.send(end_s, from_seq=edge.acked_seq + 1))
        await asyncio.sleep(load.seconds / 2)
        await edge.drop()
        with suppress(*_BROKEN):
            await first
        acked_seq = edge.acked_seq
        await edge.connect()
        await edge.send(end_s, from_seq=max(1, acked_seq + 1 - load.batch))
        return
    await edge.send(end_s, from_seq=edge.acked_seq + 1)


async def _live_on(edge: _Edge, _: Load, end_s: float) -> None:
    """Send, and connect again after every loss, until the time is over."""
    while asyncio.get_running_loop().time() < end_s:
        try:
            if not edge.is_open:
                await edge.connect()
            await edge.send(end_s, from_seq=edge.acked_seq + 1)
        except _BROKEN:
            await asyncio.sleep(0.1)


async def _main(load: Load, index: int, processes: int) -> None:
    acked: list[tuple[float, int, float]] = []
    edges = [_Edge(number, load, acked) for number in range(index, load.edges, processes)]
    errors: list[str] = []
    for first in range(0, len(edges), 50):
        await asyncio.gather(*(edge.connect() for edge in edges[first : first + 50]))
    await asyncio.gather(*(edge.lead_in() for edge in edges))
    acked.clear()
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    start_s, cpu_s = asyncio.get_running_loop().time(), time.process_time()
    for edge in edges:
        edge.start_s = start_s
    live, end_s = (_live_on if load.is_endless else _live), start_s + load.seconds
    for outcome in await asyncio.gather(*(live(edge, load, end_s) for edge in edges), return_exceptions=True):
        if isinstance(outcome, BaseException):
            errors.append(f"{type(outcome).__name__}: {outcome}")
    seqs = {edge.number: edge.acked_seq for edge in edges}
    report = {"acked": acked, "acked_seqs": seqs, "errors": errors, "cpu_s": time.process_time() - cpu_s}
    await asyncio.gather(*(edge.close() for edge in edges))
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    values = json.loads(sys.argv[1])
    plan = Load(**{**values, "world": World(**values["world"])})
    asyncio.run(_main(plan, int(sys.argv[2]), int(sys.argv[3])))
