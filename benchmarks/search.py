"""How fast and how right is the search for one embedding, in galleries of 100,000 to a million prototypes?

Our exact scan and our graph, with hnswlib, usearch and a Milvus server beside them, on the same made embeddings (see
`instruments/camera_biased.py`), one process each. Recall is against the exact neighbours in float32. What was built
lies in `--work` and is not built again, so a long run can be broken off and gone on with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import ROOT, Outcome, flags, publish
from benchmarks.instruments.camera_biased import exact_top, queries, write_vectors
from benchmarks.instruments.search_engines import ENGINES

NAME = "search"
_SIZES = (100_000, 200_000, 1_000_000)
_QUICK_SIZE, _QUICK_ENGINES = 2_000, ("exact", "hnsw", "hnswlib", "usearch")
_NUM_QUERIES = 1000
_TOP = 10
_LEAST_RECALL = {1_000_000: 0.97}
_USUAL_RECALL = 0.99
Measurement = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    parser = flags(NAME, "Latency, recall, memory and start-up time of galleries.")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_SIZES), help="numbers of prototypes")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / NAME, help="for vectors and built indexes")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if chosen.quick else chosen.work
        sizes, engines = ([_QUICK_SIZE], _QUICK_ENGINES) if chosen.quick else (chosen.sizes, chosen.engines)
        table = {size: measure(size, engines, work / str(size), is_silent=chosen.json) for size in sizes}
    figures = dict(pair for size, measured in table.items() for pair in to_figures(size, measured))
    details = {"num_queries": _NUM_QUERIES, "sizes": {str(size): measured for size, measured in table.items()}}
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)


def measure(size: int, engines: Sequence[str], folder: Path, *, is_silent: bool) -> dict[str, Measurement]:
    """Measurements of each engine at one size; a missing one says why it is."""
    folder.mkdir(parents=True, exist_ok=True)
    _prepare(size, folder)
    measured: dict[str, Measurement] = {}
    for engine in engines:
        built = folder / engine / "built.json"
        building = json.loads(built.read_text()) if built.exists() else _probe(engine, folder, "build")
        measured[engine] = building if "missing" in building else {**building, **_probe(engine, folder, "measure")}
        if not is_silent:
            _show(size, engine, measured[engine])
    return measured


def to_figures(size: int, measured: dict[str, Measurement]) -> Iterator[tuple[str, float]]:
    """The figures of one size: each engine at the least effort that reaches the recall aimed at, or at its best."""
    suffix = f"{size // 1_000_000}m" if size >= 1_000_000 else f"{size // 1000}k"
    for engine, found in measured.items():
        if "missing" in found:
            continue
        best = chosen_setting(found["settings"], least_recall=_LEAST_RECALL.get(size, _USUAL_RECALL))
        place = suffix if engine == "hnsw" else f"{engine}_{suffix}"
        yield f"p50_ms_{place}", best["p50_ms"]
        yield f"p99_ms_{place}", best["p99_ms"]
        yield f"recall10_{place}", best["recall10"]
        yield f"memory_mib_{place}", found["memory_mib"]
        yield f"start_s_{place}", found["start_s"]


def chosen_setting(settings: dict[str, dict[str, float]], *, least_recall: float) -> dict[str, float]:
    """The fastest setting that reaches a recall; the one with the highest recall where none does."""
    enough = [figures for figures in settings.values() if figures["recall10"] >= least_recall]
    if enough:
        return min(enough, key=lambda figures: figures["p99_ms"])
    return max(settings.values(), key=lambda figures: figures["recall10"])


def _prepare(size: int, folder: Path) -> None:
    write_vectors(folder / "vectors.npy", size)
    if not (folder / "truth.npy").exists():
        probes = queries(size, _NUM_QUERIES)
        np.save(folder / "queries.npy", probes)
        np.save(folder / "truth.npy", exact_top(np.load(folder / "vectors.npy", mmap_mode="r"), probes, _TOP))


def _probe(engine: str, folder: Path, action: str) -> Measurement:
    """Run one engine in a process of its own.

    Raises:
        CalledProcessError: It failed; its error output was shown.
    """
    command = [sys.executable, "-m", "benchmarks.instruments.search_probe", engine, str(folder.resolve()), action]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: Measurement = json.loads(done.stdout.splitlines()[-1])
    return answer


def _show(size: int, engine: str, found: Measurement) -> None:
    if "missing" in found:
        print(f"{size:9} {engine:8} missing: {found['missing']}", flush=True)
        return
    cost = f"built {found['build_s']:.0f} s, start {found['start_s']:.1f} s, {found['memory_mib']:.0f} MiB"
    print(f"{size:9} {engine:8} {cost}", flush=True)
    for effort, figures in found["settings"].items():
        print(f"{'':18} effort {effort:>4} " + " ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
