"""Check 1: engines of a release in fp32 and fp16, for the batch profiles of 1, 8 and 32; the time of each build.

With TensorRT-RTX it goes as far as building without a GPU; those engines run nowhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError
from benchmarks.harness import ROOT
from reid.release import Release

_PROFILES = ("1,1,1", "1,8,8", "1,8,32")
_PATIENCE_S = 580.0


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Build each by `osprey-edge engine build`.

    Raises:
        MissingPartError: No TensorRT, or the release has no graph in fp16.
    """
    for precision in ("fp32", "fp16"):
        if precision not in release.precisions:
            raise MissingPartError(f"{release.ref} has no graph in {precision}: osprey-train quantise makes it")
        for profile in _PROFILES:
            name = f"{precision}_{profile.rpartition(',')[2]}"
            details[name] = _build(release, precision, profile, folder / f"engines_{name}")
            figures[f"build_s_{name}"] = details[name]["build_s"]


def _build(release: Release, precision: str, profile: str, cache: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "edge", "engine", "build", "--release", str(release.folder), "--json"]
    words += ["--precision", precision, "--batch", profile, "--cache", str(cache), "--rebuild"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        raise MissingPartError(f"no engine was built: {done.stderr.strip()[-600:]}")
    engine: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["engines"][0]
    return {key: value for key, value in engine.items() if key != "file"}
