"""Measures one search engine at one size, in a process of its own; prints one JSON object.

    python -m benchmarks.instruments.search.probe ENGINE FOLDER build|measure

`build` leaves the index in FOLDER/ENGINE; `measure` starts from there, as after a restart. FOLDER holds `vectors.npy`,
`queries.npy` and `truth.npy`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.instruments.camera_biased import DIM
from benchmarks.instruments.search.engines import ENGINES, Engine
from benchmarks.instruments.search.rivals import NotBuiltError
from reid.types import FloatArray, IntArray

_TOP = 10
_WARM_UP = 50


@dataclass(frozen=True)
class Measured:
    """Answers of one setting and how long they took."""

    rows_QK: IntArray
    latencies_ms: FloatArray


def main() -> None:
    """Build or measure."""
    name, folder, action = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    index = folder / name
    with ExitStack() as stack:
        engine = ENGINES[name](index, DIM, stack)
        if action == "build":
            print(json.dumps(_build(engine, vectors, index)))
        else:
            print(json.dumps(_measure(engine, vectors, folder)))


def _build(engine: Engine, vectors: Any, index: Path) -> dict[str, float]:
    shutil.rmtree(index, ignore_errors=True)
    index.mkdir()
    started = time.perf_counter()
    engine.build(vectors)
    built = {"build_s": time.perf_counter() - started}
    (index / "built.json").write_text(json.dumps(built))
    return built


def _measure(engine: Engine, vectors: Any, folder: Path) -> dict[str, Any]:
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    before = _resident_mib(os.getpid())
    started = time.perf_counter()
    engine.open(vectors)
    engine.search(queries[0], _TOP)
    start_s = time.perf_counter() - started
    settings = {str(effort): _figures(_time(engine, queries, effort), truth) for effort in engine.efforts}
    process = engine.process or os.getpid()
    resident = _resident_mib(process) - (before if process == os.getpid() else 0.0)
    return {"start_s": start_s, "memory_mib": resident, "settings": settings}


def _time(engine: Engine, queries: FloatArray, effort: int) -> Measured:
    engine.set_effort(effort)
    rows, latencies = [], []
    for query in queries[:_WARM_UP]:
        engine.search(query, _TOP)
    for query in queries:
        started = time.perf_counter()
        rows.append(engine.search(query, _TOP))
        latencies.append(time.perf_counter() - started)
    return Measured(np.stack(rows), np.array(latencies, dtype=np.float32) * 1e3)


def _figures(measured: Measured, truth: IntArray) -> dict[str, float]:
    found = [len(np.intersect1d(row, wanted)) for row, wanted in zip(measured.rows_QK, truth, strict=True)]
    return {
        "p50_ms": float(np.percentile(measured.latencies_ms, 50)),
        "p99_ms": float(np.percentile(measured.latencies_ms, 99)),
        "recall10": float(np.mean(found) / _TOP),
    }


def _resident_mib(group: int) -> float:
    """Resident memory of a process, or of all processes of the group that it leads, less what files back."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
            if int(status.parent.name) == group or os.getpgid(int(status.parent.name)) == group != os.getpgrp():
                total += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
        except (OSError, ValueError):
            continue
    return total / 1024


if __name__ == "__main__":
    try:
        main()
    except NotBuiltError as error:
        print(json.dumps({"missing": str(error)}))
