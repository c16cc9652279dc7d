"""Check 7: `benchmarks.method_table` on the card with the recipes' own schedules, for OSNet x0.25, x1.0 and ResNet-50.

OSNet x0.25 starts from the public weights of MSMT17. The others start from RESNET50 and OSNET_X1_0 where these name
checkpoints (torchvision's of ImageNet, torchreid's), else from a training on the source's labels alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError, need_torch_cuda
from benchmarks.gpu.training import MARKET, PUBLIC, RUNS, need_market, train
from benchmarks.harness import ROOT
from benchmarks.instruments.method_runs import ARCHITECTURE, SOURCE_SPLIT
from reid.release import Release
from train.run_folder import FINAL_FILE

_OTHERS = {"osnet_x1_0": "OSNET_X1_0", "resnet50": "RESNET50"}
_FIGURES = "map_", "r1_"


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Fill a table for each network; each is published with its plot, under a name of its own, as well.

    Raises:
        MissingPartError: No torch with a GPU, no data, or no public weights.
        RuntimeError: A run failed.
    """
    need_torch_cuda()
    need_market()
    if not PUBLIC.is_file():
        raise MissingPartError(f"no checkpoint {PUBLIC}: nothing was adapted")
    for architecture, start in (ARCHITECTURE, PUBLIC), *((name, _start_of(name)) for name in _OTHERS):
        table = _method_table(architecture, start)
        details[architecture] = {"start": start.name, **table}
        figures |= {f"{key}_{architecture}": value for key, value in table.items() if key.startswith(_FIGURES)}


def _start_of(architecture: str) -> Path:
    """Weights that a network starts from; trained first where none are named."""
    variable = _OTHERS[architecture]
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise MissingPartError(f"{variable} names no file: {named}")
        return Path(named)
    name = f"source_{architecture}"
    train(name, ["supervised", "--recipe", "default-release", "--arch", architecture], SOURCE_SPLIT)
    return RUNS / name / FINAL_FILE


def _method_table(architecture: str, start: Path) -> dict[str, float]:
    words = ["--arch", architecture, "--checkpoint", str(start), "--data", str(MARKET), "--device", "cuda", "--json"]
    command = [sys.executable, "-m", "benchmarks.method_table", *words, "--runs", str(RUNS / f"methods_{architecture}")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"method_table of {architecture} ended with {done.returncode}: see above")
    line = json.loads(done.stdout.splitlines()[-1])
    found: dict[str, float] = line["figures"]
    return found
