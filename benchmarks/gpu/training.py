"""Check 6: training and adaptation on the card, on `market-500-251`, by the commands that a user would give.

Runs lie in `build/gpu` (or OSPREY_RUNS) and are gone on with; a run that is through is only read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError, need_torch_cuda
from benchmarks.harness import ROOT
from reid.release import Release

_DATA = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
_RUNS = Path(os.environ.get("OSPREY_RUNS", ROOT / "build" / "gpu"))
_MARKET = _DATA / "market1501_train"
_PUBLIC = _DATA / "osnet_x0_25" / "osnet_x0_25_msmt17.pth"


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Train from scratch with labels, then adapt the public checkpoint without; each with its whole schedule.

    Raises:
        MissingPartError: No torch with a GPU, or no data.
        RuntimeError: A run failed.
    """
    need_torch_cuda()
    if not _MARKET.is_dir():
        raise MissingPartError(f"no Market-1501 crops at {_MARKET}: set OSPREY_DATA")
    _train("supervised", ["supervised", "--recipe", "default-release"], figures, details)
    if not _PUBLIC.is_file():
        raise MissingPartError(f"no checkpoint {_PUBLIC}: nothing was adapted")
    for method in ("cluster-contrast", "ise"):
        words = ["adapt", "--method", method, "--init", str(_PUBLIC), "--arch", "osnet_x0_25"]
        _train(method.replace("-", "_"), words, figures, details)


def _train(name: str, words: list[str], figures: dict[str, Any], details: dict[str, Any]) -> None:
    out = _RUNS / name
    command = [sys.executable, "-m", "train", *words, "--data", "market1501", "--data-root", str(_MARKET)]
    command += ["--split", "500-251", "--out", str(out), "--device", "cuda", "--json"]
    if out.is_dir():
        command.append("--resume")
    began_s = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"osprey-train {' '.join(words[:3])} ended with {done.returncode}: see above")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    paths = ("final", "release")
    found = {key: value for key, value in line.items() if key not in paths}
    details[name] = {"seconds": round(time.monotonic() - began_s, 1), **found}
    figures |= {f"{key}_{name}": value for key, value in line.items() if key in ("mAP", "R1", "images_per_s")}
