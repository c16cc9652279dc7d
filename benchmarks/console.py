"""How long does the server take for each page of the console, with 100,000 persons and a million tracklets?

A server on made records (`instruments/console_records.py`) with the shipped release; one visitor asks for each page
many times, for another person or another part of a list each time. What is timed is the request on loopback until its
last byte has come, without TLS; beside it, the processor time that the whole server used meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.harness import ROOT, Outcome, flags, publish
from benchmarks.instruments.console_records import CAMERAS, PER_PERSON, camid_of, fill_records
from benchmarks.instruments.console_visitor import ConsoleVisitor, Request, page_requests
from benchmarks.instruments.server_process import ServerProcess, osprey_server
from reid.release import load_release
from server.settings import DEFAULT_RELEASE
from server.storage.database import StorageSettings, open_database

NAME = "console"
_PERSONS, _QUICK_PERSONS = 100_000, 1_000
_REQUESTS, _QUICK_REQUESTS = 200, 10
_WARM_UP = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, measure and publish."""
    chosen = _parse(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data" if chosen.quick else chosen.work / str(chosen.persons)
        prepare(data, chosen.persons)
        pages = measure(data, chosen.persons, chosen.requests, is_silent=chosen.json)
    figures = {f"p95_ms_{name}": page["p95_ms"] for name, page in pages.items()}
    figures["p95_ms_slowest"] = max(figures.values())
    details = {"persons": chosen.persons, "tracklets": chosen.persons * PER_PERSON, "requests": chosen.requests}
    publish(NAME, Outcome(figures=figures, details={**details, "pages": pages}), quick=chosen.quick)


def prepare(data: Path, num_persons: int) -> None:
    """Make the records, unless they are there; the machine's memory holds them, as after a day of running."""
    ready = data / "ready"
    if not ready.is_file():
        _make(data, num_persons)
        ready.touch()
    with (data / "records.db").open("rb") as records:
        while records.read(1 << 24):
            pass


def _make(data: Path, num_persons: int) -> None:
    data.mkdir(parents=True)
    manifest = load_release(DEFAULT_RELEASE).manifest
    engine = open_database(StorageSettings(), data=data)
    fill_records(engine, data, num_persons, space=manifest.space, dim=manifest.dim)
    engine.dispose()


def measure(data: Path, num_persons: int, num_requests: int, *, is_silent: bool) -> dict[str, dict[str, float]]:
    """Latencies of each page, by its name."""
    url_file = data / "web.url"
    url_file.unlink(missing_ok=True)
    server = osprey_server(data, more=("--web", "127.0.0.1:0", "--web-url-file", str(url_file), "--metrics", ""))
    pages: dict[str, dict[str, float]] = {}
    try:
        start_s = server.start()
        if not is_silent:
            print(f"the server started in {start_s:.0f} s and takes {server.memory_mb:.0f} MB", flush=True)
        camids = [camid_of(key) for key in range(1, CAMERAS + 1)]
        with ConsoleVisitor(urlsplit(url_file.read_text().strip()).netloc) as visitor:
            for name, request in page_requests(visitor, num_persons=num_persons, camids=camids).items():
                pages[name] = _ask(server, visitor, request, num_requests)
                if not is_silent:
                    _show(name, pages[name])
        server.stop()
    finally:
        server.kill()
    return pages


def _ask(server: ServerProcess, visitor: ConsoleVisitor, request: Request, times: int) -> dict[str, float]:
    """How long one page takes."""
    for _ in range(_WARM_UP):
        visitor.time_ms(request())
    before_s = server.cpu_s
    times_ms = [visitor.time_ms(request()) for _ in range(times)]
    return {**_spread(times_ms), "cpu_ms": 1000 * (server.cpu_s - before_s) / times}


def _show(name: str, page: Mapping[str, float]) -> None:
    print(
        f"{name:20} p50 {page['p50_ms']:7.2f} ms, p95 {page['p95_ms']:7.2f} ms, processor {page['cpu_ms']:7.2f} ms",
        flush=True,
    )


def _spread(times_ms: Sequence[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(times_ms, (50, 95, 99))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "max_ms": max(times_ms)}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = flags(NAME, "Server time of each page of the console.")
    parser.add_argument("--persons", type=int, default=None, help="in the records, each with ten tracklets")
    parser.add_argument("--requests", type=int, default=None, help="of each page")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / NAME, help="for the records; used again")
    chosen = parser.parse_args(arguments)
    chosen.persons = chosen.persons or (_QUICK_PERSONS if chosen.quick else _PERSONS)
    chosen.requests = chosen.requests or (_QUICK_REQUESTS if chosen.quick else _REQUESTS)
    return chosen


if __name__ == "__main__":
    main()
