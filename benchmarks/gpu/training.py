"""Check 6: training and adaptation on the card, on `market-500-251`, and the release that ships, of all 751 people.

By the commands that a user would give, for OSNet x0.25 and x1.0 with whole schedules. Runs lie in `build/gpu` (or
OSPREY_RUNS) and are gone on with; a run that is through is only read. The releases are in `RUNS/release_WIDTH`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError, need_torch_cuda
from benchmarks.harness import ROOT
from reid.release import Release
from train.run_folder import CHECKPOINT_FILE, FINAL_FILE

_DATA = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
RUNS = Path(os.environ.get("OSPREY_RUNS", ROOT / "build" / "gpu"))
MARKET = _DATA / "market1501_train"
PUBLIC = _DATA / "osnet_x0_25" / "osnet_x0_25_msmt17.pth"
_TEST_SPLIT = "500-251"
_WIDTHS = ("x0_25", "x1_0")
_FIGURES = ("mAP", "R1", "images_per_s")


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Train from scratch with labels, adapt the public checkpoint without, and make releases of all people.

    Raises:
        MissingPartError: No torch with a GPU, or no data.
        RuntimeError: A run failed.
    """
    need_torch_cuda()
    need_market()
    for width in _WIDTHS:
        details[f"supervised_{width}"] = found = train(f"supervised_{width}", _from_scratch(width), _TEST_SPLIT)
        figures |= _figures(f"supervised_{width}", found)
    for width in _WIDTHS:
        details[f"release_{width}"] = _make_release(width)
    if not PUBLIC.is_file():
        raise MissingPartError(f"no checkpoint {PUBLIC}: nothing was adapted")
    for method in ("cluster-contrast", "ise"):
        words = ["adapt", "--method", method, "--init", str(PUBLIC), "--arch", "osnet_x0_25"]
        name = method.replace("-", "_")
        details[name] = found = train(name, words, _TEST_SPLIT)
        figures |= _figures(name, found)


def need_market() -> None:
    """Go on only where the crops are.

    Raises:
        MissingPartError: They are not.
    """
    if not MARKET.is_dir():
        raise MissingPartError(f"no Market-1501 crops at {MARKET}: set OSPREY_DATA")


def train(name: str, words: list[str], split: str) -> dict[str, Any]:
    """Bring the run `RUNS/name` to its end on the card.

    Args:
        name: Its folder.
        words: Command of `osprey-train` with what is particular to the run.
        split: Of Market-1501.

    Returns:
        Its last figures, and the seconds that this call took.

    Raises:
        RuntimeError: It failed; its error output was shown.
    """
    out = RUNS / name
    options = ["--data", "market1501", "--data-root", str(MARKET), "--split", split]
    options += ["--out", str(out), "--device", "cuda", "--json"]
    if (out / CHECKPOINT_FILE).is_file():
        options.append("--resume")
    began_s = time.monotonic()
    last = osprey_train([*words, *options])
    found = {key: value for key, value in last.items() if key not in ("final", "release")}
    return {"seconds": round(time.monotonic() - began_s, 1), **found}


def osprey_train(words: list[str]) -> dict[str, Any]:
    """Call `osprey-train`; returns the line of JSON that it ends with.

    Raises:
        RuntimeError: It failed; its error output was shown.
    """
    command = [sys.executable, "-m", "train", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"osprey-train {' '.join(words[:3])} ended with {done.returncode}: see above")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return line


def _from_scratch(width: str) -> list[str]:
    return ["supervised", "--recipe", "default-release", "--arch", f"osnet_{width}"]


def _make_release(width: str) -> dict[str, Any]:
    """The recipe of the release that ships, on all people: its two runs, exported."""
    small, full, name = f"all_{width}", f"all_{width}_full_size", f"osnet_{width}_default"
    train(small, _from_scratch(width), "all")
    more = ["supervised", "--recipe", "default-release-full-size", "--arch", f"osnet_{width}"]
    found = train(full, [*more, "--init", str(RUNS / small / FINAL_FILE)], "all")
    out = RUNS / f"release_{width}"
    shutil.rmtree(out, ignore_errors=True)
    made = osprey_train(
        ["export", "--checkpoint", str(RUNS / full / FINAL_FILE), "--out", str(out), "--name", name, "--json"]
    )
    return {**found, "fingerprint": made.get("fingerprint", "")}


def _figures(name: str, found: dict[str, Any]) -> dict[str, float]:
    return {f"{key}_{name}": found[key] for key in _FIGURES if key in found}
