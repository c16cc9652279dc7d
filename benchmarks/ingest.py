"""Durable, acknowledged embeddings a second, and how long an edge waits for the acknowledgement.

Simulated edges, each with a gRPC connection of its own, send to a real server process with matching on; generator and
server share the cores of this machine. Two shapes of load: *saturation*, where every edge sends as fast as its window
allows (throughput; there the wait is only the length of the queue), and *offered*, a rate at which an operator would
run it (`--share` of the saturation, or `--rate`), which gives the latencies. In the saturation run every tenth edge
loses its line half-way and repeats itself. After each run the records are compared with what the edges were told.
Time is taken once everybody in sight is known to the server: every edge sends a few views of each of them before.

In the same run: the same streams against a server that only counts and acknowledges (`ratio_to_grpc`), and the same
rows put into SQLite with nothing around them (`ratio_to_sqlite`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine

from benchmarks.harness import Outcome, flags, publish
from benchmarks.instruments.load import Load, LoadReport, run_load
from benchmarks.instruments.load_messages import World
from benchmarks.instruments.raw_sqlite import raw_sqlite_per_s
from benchmarks.instruments.server_process import ServerProcess, osprey_server
from benchmarks.instruments.stored import compare
from reid.release import load_release
from server.settings import DEFAULT_RELEASE

NAME = "ingest"
_WARM_UP = 0.1
"""Share of a run that is not measured: the windows fill then."""
_LEAD_IN_TURNS = 3
"""Views of everybody in sight that are sent before; tracklets are young before that."""
_PEOPLE_PER_SLOT = 2
"""People of a neighbourhood for each tracklet that is open there: half of them are out of sight."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one run came to.

    Attributes:
        acked_per_s: Embeddings.
        p50_ms: Of the time to the acknowledgement, each batch counting once.
        p99_ms: Likewise.
        server_us: Processor time of the server for an embedding.
        generator_us: Processor time of the generator for one.
        lost: Acknowledged, and not in the records.
        duplicated: In the records twice, or pooled twice.
        stored: Rows in the records.
        errors: Streams that ended before their time.
    """

    acked_per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float
    generator_us: float
    lost: int = 0
    duplicated: int = 0
    stored: int = 0
    errors: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    chosen = _parse(arguments)
    figures: dict[str, float] = {}
    details: dict[str, Any] = {"batch": chosen.batch, "seconds": chosen.seconds, "runs": {}}
    for edges in chosen.edges:
        runs = measure(edges, chosen)
        details["runs"][str(edges)] = {name: vars(rates) for name, rates in runs.items()}
        suffix = "" if edges == chosen.edges[0] else f"_{edges}"
        figures.update({f"{key}{suffix}": value for key, value in _figures(runs).items()})
        if not chosen.json:
            _show(edges, runs)
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)


def measure(edges: int, chosen: argparse.Namespace) -> dict[str, Rates]:
    """All runs for one number of edges."""
    manifest = load_release(DEFAULT_RELEASE).manifest
    slots = max(2, round(chosen.nominal_rate / edges))
    world = World(space=manifest.space, dim=manifest.dim, slots=slots)
    world = replace(world, people=_PEOPLE_PER_SLOT * slots * world.neighbours)
    load = Load(address="", world=world, edges=edges, batch=chosen.batch, seconds=chosen.seconds)
    load = replace(load, lead_in=_LEAD_IN_TURNS * slots)
    with tempfile.TemporaryDirectory(prefix="osprey_ingest_", dir=chosen.folder) as name:
        folder = Path(name)
        runs = {"saturation": _run_server(folder / "saturation", replace(load, reconnects=True))}
        rate_hz = chosen.rate or chosen.share * runs["saturation"].acked_per_s
        runs["offered"] = _run_server(folder / "offered", replace(load, rate_hz=rate_hz))
        runs["grpc"] = _run_counting(folder / "grpc", load)
        per_s = raw_sqlite_per_s(folder / "raw", dim=manifest.dim, rows_per_commit=512, seconds=chosen.seconds / 2)
        runs["sqlite"] = Rates(acked_per_s=per_s, p50_ms=0.0, p99_ms=0.0, server_us=1e6 / per_s, generator_us=0.0)
    return runs


def _run_server(data: Path, load: Load) -> Rates:
    with _started(osprey_server(data)) as server:
        report, server_cpu_s = _run(server, load)
        server.stop()
    rates = _rates(report, load, server_cpu_s)
    engine = create_engine(f"sqlite:///{data}/records.db")
    faults = compare(engine, report.acked_seqs)
    engine.dispose()
    return replace(rates, stored=faults.stored, lost=faults.lost, duplicated=faults.duplicated)


def _run_counting(folder: Path, load: Load) -> Rates:
    words = ["benchmarks.instruments.acknowledging_server", "{port_file}"]
    with _started(ServerProcess(words, folder)) as server:
        report, server_cpu_s = _run(server, load)
    return _rates(report, load, server_cpu_s)


@contextmanager
def _started(server: ServerProcess) -> Iterator[ServerProcess]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _run(server: ServerProcess, load: Load) -> tuple[LoadReport, float]:
    before_s = server.cpu_s
    report = run_load(replace(load, address=server.address))
    return report, server.cpu_s - before_s


def _rates(report: LoadReport, load: Load, server_cpu_s: float) -> Rates:
    seconds_N, counts_N, waits_N = report.acked_N3.T
    within = (seconds_N >= _WARM_UP * load.seconds) & (seconds_N <= load.seconds)
    total = max(1.0, float(counts_N.sum()))
    p50_ms, p99_ms = np.percentile(waits_N[within], [50, 99]) * 1e3 if within.any() else (np.inf, np.inf)
    return Rates(
        acked_per_s=float(counts_N[within].sum()) / ((1 - _WARM_UP) * load.seconds),
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
        server_us=server_cpu_s / (total + load.edges * load.lead_in) * 1e6,
        generator_us=report.cpu_s / total * 1e6,
        errors=len(report.errors),
    )


def _figures(runs: dict[str, Rates]) -> dict[str, float]:
    full, offered = runs["saturation"], runs["offered"]
    return {
        "acked_per_s": full.acked_per_s,
        "ack_p50_ms": offered.p50_ms,
        "ack_p99_ms": offered.p99_ms,
        "offered_per_s": offered.acked_per_s,
        "lost": full.lost + offered.lost,
        "duplicated": full.duplicated + offered.duplicated,
        "ratio_to_sqlite": full.acked_per_s / runs["sqlite"].acked_per_s,
        "ratio_to_grpc": full.acked_per_s / runs["grpc"].acked_per_s,
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = flags(NAME, "Durable acknowledged embeddings a second, and the time to the acknowledgement.")
    parser.add_argument("--edges", type=_numbers, default=None, help="numbers of edges, as 200,1000")
    parser.add_argument("--seconds", type=float, default=None, help="of each run")
    parser.add_argument("--batch", type=int, default=16, help="observations in a message")
    parser.add_argument("--share", type=float, default=0.55, help="of the saturation, offered for the latencies")
    parser.add_argument("--rate", type=float, default=0.0, help="offer this many a second instead")
    parser.add_argument(
        "--nominal-rate", type=float, default=10_000.0, help="sets how many people an edge sees at a time"
    )
    parser.add_argument("--folder", type=Path, default=None, help="for the records; default: the temporary folder")
    chosen = parser.parse_args(arguments)
    chosen.edges = chosen.edges or ([200] if chosen.quick else [200, 1000])
    chosen.seconds = chosen.seconds or (6.0 if chosen.quick else 30.0)
    return chosen


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _show(edges: int, runs: dict[str, Rates]) -> None:
    print(
        f"{edges} edges  {'acked/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'server us':>10} {'load us':>8} {'stored':>8}"
        " faults"
    )
    for name, rates in runs.items():
        faults = f"{rates.lost} lost, {rates.duplicated} twice, {rates.errors} streams" if rates.stored else ""
        print(
            f"{name:12} {rates.acked_per_s:9.0f} {rates.p50_ms:9.1f} {rates.p99_ms:9.1f} {rates.server_us:10.1f} "
            f"{rates.generator_us:8.1f} {rates.stored:8} {faults}"
        )


if __name__ == "__main__":
    main()
