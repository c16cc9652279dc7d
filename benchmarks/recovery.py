"""How long a server takes to start, and how much memory it then holds, against the tracklets in its records.

The records are made directly in SQLite: people seen again and again in the cameras of a site, all tracklets closed and
old but the latest hundredth. Then the real server starts on them, from a cold process to the first call taken. What
does not depend on the records (imports, the release) is in the figure for the smallest size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert

from benchmarks.harness import Outcome, flags, publish
from benchmarks.instruments.server_process import osprey_server
from reid.embedding import normalise
from reid.release import load_release
from server.settings import DEFAULT_RELEASE
from server.storage.bulk import insert_rows
from server.storage.database import StorageSettings, open_database
from server.storage.schema import cameras, persons, tracklets

NAME = "recovery"
_CAMERAS = 100
_PER_PERSON = 10
"""Tracklets of one person, in `_CAMERAS_EACH` cameras."""
_CAMERAS_EACH = 5
_PAGE = 10_000
_COLUMNS = (
    *("tracklet_key", "camera_key", "tracklet_id", "space", "person_id", "start_us", "end_us"),
    *("num_observations", "weight", "embedding_sum", "is_closed", "updated_us"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    chosen = _parse(arguments)
    figures: dict[str, float] = {}
    rows: list[dict[str, float]] = []
    for size in chosen.sizes:
        with tempfile.TemporaryDirectory(prefix="osprey_recovery_", dir=chosen.folder) as folder:
            row = measure(Path(folder) / "data", size, repeats=chosen.repeats)
        rows.append(row)
        figures.update({f"start_s_{size}": row["start_s"], f"memory_mb_{size}": row["memory_mb"]})
        if not chosen.json:
            print(f"{size:9} tracklets: {row['start_s']:7.2f} s to start, {row['memory_mb']:8.0f} MB", flush=True)
    publish(NAME, Outcome(figures=figures, details={"rows": rows}), quick=chosen.quick)


def measure(data: Path, size: int, *, repeats: int) -> dict[str, float]:
    """Make records of so many tracklets, and start a server on them; the median of some starts."""
    data.mkdir(parents=True)
    engine = open_database(StorageSettings(), data=data)
    fill(engine, size)
    engine.dispose()
    starts_s, memories_mb = [], []
    for _ in range(repeats):
        server = osprey_server(data)
        try:
            starts_s.append(server.start())
            memories_mb.append(server.memory_mb)
            server.stop()
        finally:
            server.kill()
    num_bytes = sum(path.stat().st_size for path in data.glob("records.db*"))
    return {
        "tracklets": size,
        "start_s": float(np.median(starts_s)),
        "memory_mb": float(np.median(memories_mb)),
        "records_mb": num_bytes / 1e6,
    }


def fill(engine: Engine, size: int) -> None:
    """Write the tracklets, and the cameras and persons that they name."""
    manifest = load_release(DEFAULT_RELEASE).manifest
    num_persons = -(-size // _PER_PERSON)
    with engine.begin() as connection:
        seen_by = [{"camera_key": key, "edge_id": f"e{key}", "camid": "c1"} for key in range(1, _CAMERAS + 1)]
        connection.execute(insert(cameras), seen_by)
        for first in range(1, num_persons + 1, _PAGE):
            page = range(first, min(first + _PAGE, num_persons + 1))
            columns = ("person_id", "created_us", "confirmed_us")
            insert_rows(connection, persons, columns, [(key, 1, 1) for key in page])
    for rows in _pages(size, manifest.space, manifest.dim):
        with engine.begin() as connection:
            insert_rows(connection, tracklets, _COLUMNS, rows)


def _pages(size: int, space: str, dim: int) -> Iterator[list[tuple[Any, ...]]]:
    rng = np.random.default_rng(0)
    now_us = time.time_ns() // 1000
    for first in range(1, size + 1, _PAGE):
        keys = np.arange(first, min(first + _PAGE, size + 1))
        sums_ND = (20 * 0.7 * normalise(rng.standard_normal((len(keys), dim)))).astype("<f4")
        rows: list[tuple[Any, ...]] = []
        for key, embedding_sum in zip(keys.tolist(), sums_ND, strict=True):
            person_id = 1 + (key - 1) // _PER_PERSON
            camera_key = 1 + (person_id * 7 + key % _CAMERAS_EACH) % _CAMERAS
            age_us = 60_000_000 if key > 0.99 * size else 30 * 86_400_000_000
            start_us = now_us - age_us - (size - key) * 1000
            sizes = (20, 14.0, embedding_sum.tobytes(), True, now_us - age_us)
            rows.append((key, camera_key, key, space, person_id, start_us, start_us + 20_000_000, *sizes))
        yield rows


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = flags(NAME, "Start-up time and memory against stored tracklets.")
    parser.add_argument("--sizes", type=_numbers, default=None, help="numbers of tracklets, as 10000,100000")
    parser.add_argument("--repeats", type=int, default=None, help="starts of each")
    parser.add_argument("--folder", type=Path, default=None, help="for the records; default: the temporary folder")
    chosen = parser.parse_args(arguments)
    chosen.sizes = chosen.sizes or ([1000, 10_000] if chosen.quick else [10_000, 100_000, 1_000_000])
    chosen.repeats = chosen.repeats or (1 if chosen.quick else 3)
    return chosen


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
