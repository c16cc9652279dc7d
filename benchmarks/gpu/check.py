"""Runs one check and writes what came out, with date, card, driver and versions.

Results of a card that was measured go to `benchmarks/results`; a machine without one overwrites none of them.

python -m benchmarks.gpu.check builds|parity|refit|speed|roofline|training|methods
"""

from __future__ import annotations

import argparse
import importlib
import platform
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError
from benchmarks.harness import RESULTS, ROOT, nvidia_card
from edge.settings import SHIPPED_RELEASE
from reid.errors import OspreyError
from reid.files import write_json_atomic
from reid.machine import cpu_name
from reid.release import Release, load_release

STATUS = ROOT / "build" / "gpu"
"""What became of the latest run of each check, also where there was nothing to measure."""
CHECKS = ("builds", "parity", "refit", "speed", "roofline", "training", "methods")
NO_CARD = "none"
_PACKAGES = ("tensorrt", "tensorrt-rtx", "tensorrt-rtx-cu13", "pycuda", "cuda-bindings", "torch", "onnxruntime-gpu")
_MORE_PACKAGES = ("onnxruntime", "onnx", "numpy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it; whatever becomes of it is written down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.check", description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--release", type=Path, default=SHIPPED_RELEASE, help="folder of the release")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gpu_CHECK.json, if a card was measured")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="osprey_gpu_") as folder:
        found = outcome(chosen.check, chosen.release, Path(folder))
    results = {"check": chosen.check, **origin(), **found}
    is_measured = results["card"] != NO_CARD and found["figures"]
    for target in (STATUS, chosen.out) if is_measured else (STATUS,):
        target.mkdir(parents=True, exist_ok=True)
        write_json_atomic(target / f"gpu_{chosen.check}.json", results)
    print(f"{chosen.check}: {line_of(found)}", flush=True)


def outcome(check: str, release: Path, folder: Path) -> dict[str, Any]:
    """Run a check on a copy of a release, beside which engines may be written.

    Returns:
        `figures` and `details`; and, where that is so, `missing`: what the machine lacks, or `failed`: what went wrong.
    """
    copy = folder / "release"
    shutil.copytree(release, copy)
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    found: dict[str, Any] = {"figures": figures, "details": details}
    try:
        loaded: Release = load_release(copy)
        importlib.import_module(f"benchmarks.gpu.{check}").run(loaded, folder, figures, details)
    except (MissingPartError, ImportError) as error:
        found["missing"] = " ".join(str(error).split())
    except (OspreyError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        traceback.print_exc(file=sys.stderr)
        found["failed"] = " ".join(str(error).split())[:1000]
    return found


def line_of(found: dict[str, Any]) -> str:
    """What became of a check, in a line."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in found["figures"].items())
    if "failed" in found:
        return f"FAILED: {found['failed'][:300]}"
    if "missing" in found:
        return f"{numbers + '; ' if numbers else ''}missing: {found['missing'][:300]}"
    return numbers or "nothing measured"


def origin() -> dict[str, Any]:
    """Where and when: date, card, driver, processor and versions."""
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_MORE_PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    card, _, driver = nvidia_card().partition(",")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "card": card.strip() or NO_CARD,
        "driver": driver.strip() or "none",
        "cpu": cpu_name(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
