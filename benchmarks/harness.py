"""What all benchmarks share: their flags, and how figures are published.

    python -m benchmarks.NAME [--quick] [--json]

`--quick` ends within 50 s on 2 cores and writes nothing. A full run writes `benchmarks/results/NAME.json` with command,
commit, date, hardware and versions. Either way the last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from reid.files import write_json_atomic
from reid.machine import cpu_name

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "opencv-python", "onnxruntime", "av", "grpcio", "protobuf", "faiss-cpu", "torch", "scipy")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a benchmark found.

    Attributes:
        figures: The numbers that issues and readers name, by name.
        details: How they came about: settings, parts, spread.
    """

    figures: Mapping[str, float]
    details: Mapping[str, Any]


def flags(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the flags that every benchmark has: `quick` and `json`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help="a short form, within 50 s on 2 cores; writes no results")
    parser.add_argument("--json", action="store_true", help="print nothing but the last line")
    return parser


def publish(
    name: str, outcome: Outcome, *, quick: bool, results: str = "", folder: Path = RESULTS, root: Path = ROOT
) -> dict[str, Any]:
    """Print the last line, and after a full run write the results file.

    Args:
        name: The benchmark.
        outcome: What it found.
        quick: It was the short form.
        results: Name of its results where it has several; by default the benchmark's.
        folder: For the results file; made when missing.
        root: Checkout whose commit is named.

    Returns:
        What was printed.
    """
    figures = {key: _short(value) for key, value in outcome.figures.items()}
    commit, is_dirty = _commit(root)
    line = {"name": name, "commit": commit, "quick": quick, "figures": figures}
    if not quick:
        folder.mkdir(parents=True, exist_ok=True)
        origin = {
            "dirty": is_dirty,
            "command": " ".join([f"python -m benchmarks.{name}", *_arguments()]),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "hardware": _hardware(),
            "versions": _versions(),
        }
        write_json_atomic(folder / f"{results or name}.json", {**line, **origin, "details": dict(outcome.details)})
    print(json.dumps(line), flush=True)
    return line


def _short(value: float) -> float:
    """Six significant digits: more than any benchmark can tell."""
    return float(f"{value:.6g}")


def _arguments() -> list[str]:
    """The command line, with folders cut off file names: they say something about a machine, not about a result."""
    return [Path(argument).name if os.sep in argument else argument for argument in sys.argv[1:]]


def _commit(root: Path) -> tuple[str, bool]:
    """Hash of the checked-out commit, and whether files other than results differ; "unknown" outside a checkout."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--", ".", ":!benchmarks/results"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()


def _hardware() -> dict[str, str | int | float]:
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages * page_bytes / 2**30, 1),
        "machine": platform.machine(),
        "system": platform.system(),
        **({"gpu": card} if (card := nvidia_card()) else {}),
    }


def nvidia_card() -> str:
    """Name and driver of the first NVIDIA GPU, with a comma between them; empty without one."""
    words = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    return lines[0] if lines else ""


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
