"""Memory and start of one back end, in a process of its own.

    python -m benchmarks.instruments.latency.memory RELEASE BACKEND PRECISION NUM_THREADS

`torch` as the back end is the release's OSNet in torch, eager.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from reid.release import Precision, load_release
from reid.types import UInt8Array

_PATIENCE_S = 300.0
_BATCH = 32


def measure_memory(release: Path, backend: str, precision: str, *, num_threads: int) -> dict[str, float]:
    """Resident memory and time to open of one back end.

    Returns:
        `open_s`, `resident_mib` (the most, with all that a process needs) and `added_mib` (of these, by opening it and
        embedding a batch of 32).

    Raises:
        RuntimeError: It failed.
    """
    words = [sys.executable, "-m", "benchmarks.instruments.latency.memory", str(release), backend, precision]
    done = subprocess.run(
        [*words, str(num_threads)], cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"memory of {backend} {precision} was not measured: {done.stderr[-500:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _probe(folder: Path, backend: str, precision: Precision, num_threads: int) -> dict[str, float]:
    release = load_release(folder)
    crops = release.golden.crops.repeat(-(-_BATCH // len(release.golden.crops)), axis=0)[:_BATCH]
    before_mib = _status_mib("VmRSS")
    began_s = time.monotonic()
    embed = _open(folder, backend, precision, num_threads)
    opened_s = time.monotonic() - began_s
    embed(crops)
    peak_mib = _status_mib("VmHWM")  # not getrusage, whose peak is that of whoever started this process
    return {
        "open_s": round(opened_s, 2),
        "resident_mib": round(peak_mib, 1),
        "added_mib": round(peak_mib - before_mib, 1),
    }


def _open(folder: Path, backend: str, precision: Precision, num_threads: int) -> Callable[[UInt8Array], Any]:
    if backend == "torch":
        from benchmarks.instruments.latency.rivals import torch_contestants  # noqa: PLC0415 (torch is large)

        found, _, _ = torch_contestants(load_release(folder), num_threads=num_threads, compiles=False)
        return lambda crops: found[0].run(found[0].prepare(crops))
    from edge.backends.registry import BACKENDS  # noqa: PLC0415 (its libraries count)

    return BACKENDS[backend].open(load_release(folder), precision, num_threads).embed


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    name, precision_of = sys.argv[2], sys.argv[3]
    print(json.dumps(_probe(Path(sys.argv[1]), name, precision_of, int(sys.argv[4]))))  # type: ignore[arg-type]
