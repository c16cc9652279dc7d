"""How fast and how right is the search for one embedding, in galleries of 100,000 to a million prototypes?

Our gallery in process as a server opens it, with plain faiss indexes, hnswlib, usearch and a Milvus server beside it,
on the same made embeddings (see `instruments/camera_biased.py`), one process each, one search at a time. Recall is
against the exact neighbours in float32. What was built lies in `--work` and is not built again, so a long run can be
done in parts (`--engines`, `--sizes`): the last one, over everything, measures everything anew and builds nothing. An
index that would take more than `--patience` minutes to build, by what a smaller one took, is left out and named.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.camera_biased import exact_top, queries, write_vectors
from benchmarks.instruments.search.engines import ENGINES, OURS
from benchmarks.instruments.search.plot import plot_search

NAME = "search"
_SIZES = (100_000, 200_000, 1_000_000)
_QUICK_SIZE, _QUICK_ENGINES = 4_000, tuple(engine for engine in ENGINES if engine != "milvus")
_NUM_QUERIES = 1000
_TOP = 10
_LEAST_RECALL = {1_000_000: 0.97}
_USUAL_RECALL = 0.99
Measurement = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish and plot."""
    parser = flags(NAME, "Latency, recall, memory and start-up time of galleries.")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_SIZES), help="numbers of prototypes")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / NAME, help="for vectors and built indexes")
    parser.add_argument("--patience", type=float, default=6.0, help="most minutes to build one index")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if chosen.quick else chosen.work
        sizes, engines = ([_QUICK_SIZE], _QUICK_ENGINES) if chosen.quick else (sorted(chosen.sizes), chosen.engines)
        bench = Bench(work, patience_s=60 * chosen.patience, is_silent=chosen.json)
        table = {size: bench.measure(size, engines) for size in sizes}
    figures = dict(pair for size, measured in table.items() for pair in to_figures(size, measured))
    details = {"num_queries": _NUM_QUERIES, "sizes": {str(size): measured for size, measured in table.items()}}
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)
    if not chosen.quick:
        plot_search(RESULTS / f"{NAME}.png", table)


class Bench:
    """Builds and measures, the smaller sizes first.

    Args:
        work: Folder of vectors and of what was built.
        patience_s: No index is built that would take longer.
        is_silent: Print nothing.
    """

    def __init__(self, work: Path, *, patience_s: float, is_silent: bool) -> None:
        self._work = work
        self._patience_s = patience_s
        self._is_silent = is_silent
        self._built: dict[str, tuple[int, float]] = {}  # latest size of each engine, and how long it took

    def measure(self, size: int, engines: Sequence[str]) -> dict[str, Measurement]:
        """Measurements of each engine at one size; a missing one says why it is."""
        folder = self._work / str(size)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(size, folder)
        measured: dict[str, Measurement] = {}
        for engine in engines:
            building = self._build(engine, size, folder)
            measured[engine] = building if "missing" in building else {**building, **_probe(engine, folder, "measure")}
            if not self._is_silent:
                _show(size, engine, measured[engine])
        return measured

    def _build(self, engine: str, size: int, folder: Path) -> Measurement:
        path = folder / engine / "built.json"
        expected_s = expected_build_s(self._built.get(engine), size)
        if path.exists():
            building: Measurement = json.loads(path.read_text())
        elif expected_s > self._patience_s:
            return {"missing": f"not run: to build it would take about {expected_s / 60:.0f} minutes"}
        else:
            building = _probe(engine, folder, "build")
        if "build_s" in building:
            self._built[engine] = size, building["build_s"]
        return building


def expected_build_s(smaller: tuple[int, float] | None, size: int) -> float:
    """How long a build may take that took so long at a smaller size: a little more than its share; 0 if unknown."""
    if smaller is None:
        return 0.0
    return smaller[1] * size / smaller[0] * math.log(size) / math.log(smaller[0])


def to_figures(size: int, measured: Mapping[str, Measurement]) -> Iterator[tuple[str, float]]:
    """The figures of one size: each engine at the least effort that reaches the recall aimed at, or at its best."""
    suffix = f"{size // 1_000_000}m" if size >= 1_000_000 else f"{size // 1000}k"
    for engine, found in measured.items():
        if "missing" in found:
            continue
        best = chosen_setting(found["settings"], least_recall=_LEAST_RECALL.get(size, _USUAL_RECALL))
        place = suffix if engine == OURS else f"{engine}_{suffix}"
        yield f"p50_ms_{place}", best["p50_ms"]
        yield f"p99_ms_{place}", best["p99_ms"]
        yield f"recall10_{place}", best["recall10"]
        yield f"memory_mib_{place}", found["memory_mib"]
        yield f"build_s_{place}", found["build_s"]
        yield f"start_s_{place}", found["start_s"]


def chosen_setting(settings: Mapping[str, dict[str, float]], *, least_recall: float) -> dict[str, float]:
    """The fastest setting that reaches a recall; the one with the highest recall where none does."""
    enough = [figures for figures in settings.values() if figures["recall10"] >= least_recall]
    if enough:
        return min(enough, key=lambda figures: figures["p99_ms"])
    return max(settings.values(), key=lambda figures: figures["recall10"])


def prepare(size: int, folder: Path) -> None:
    """Write vectors, queries and their exact neighbours, unless they are there."""
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
    command = [sys.executable, "-m", "benchmarks.instruments.search.probe", engine, str(folder.resolve()), action]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: Measurement = json.loads(done.stdout.splitlines()[-1])
    return answer


def _show(size: int, engine: str, found: Measurement) -> None:
    if "missing" in found:
        print(f"{size:9} {engine:10} {found['missing']}", flush=True)
        return
    cost = f"built in {found['build_s']:.1f} s, start {found['start_s']:.2f} s, {found['memory_mib']:.0f} MiB"
    print(f"{size:9} {engine:10} {cost}", flush=True)
    for effort, figures in found["settings"].items():
        print(f"{'':20} effort {effort:>4} " + " ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
