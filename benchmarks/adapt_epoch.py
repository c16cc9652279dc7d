"""Time of one epoch of adaptation: ours against the published way of doing it, for OSNet x0.25 and x1.0.

An epoch embeds 9,173 crops (as `market-500-251` has), clusters them and takes 50 steps of 64. Crops are random and
embeddings are made, since what is timed depends on their number only. Embedding is timed on a part of the crops and
steps on some of them; the epoch's time is computed from those rates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT, Outcome, flags, publish
from benchmarks.instruments.neighbours_probe import made_people
from train.speed import TUNABLES, VARIABLE

NAME = "adapt_epoch"
NUM_CROPS = 9_173
NUM_STEPS = 50
_ARCHITECTURES = ("osnet_x0_25", "osnet_x1_0")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    chosen = flags(NAME, "One epoch of adaptation, ours against the published way.").parse_args(arguments)
    architectures = _ARCHITECTURES[:1] if chosen.quick else _ARCHITECTURES
    num_timed_crops, num_timed_steps = (128, 2) if chosen.quick else (512, 6)
    figures: dict[str, float] = {}
    details: dict[str, object] = {"num_timed_crops": num_timed_crops, "num_timed_steps": num_timed_steps}
    with tempfile.TemporaryDirectory() as folder:
        crops, feats = Path(folder) / "crops.npy", Path(folder) / "feats.npy"
        np.save(crops, np.random.default_rng(0).integers(0, 256, (num_timed_crops, 256, 128, 3), dtype=np.uint8))
        np.save(feats, made_people(3_000 if chosen.quick else NUM_CROPS))
        for architecture in architectures:
            parts = {kind: probe(kind, architecture, crops, feats, num_timed_steps) for kind in ("published", "ours")}
            epochs_s = {kind: epoch_s(cost) for kind, cost in parts.items()}
            figures[f"speedup_{architecture.removeprefix('osnet_')}"] = epochs_s["published"] / epochs_s["ours"]
            details[architecture] = {kind: {**parts[kind], "epoch_s": epochs_s[kind]} for kind in parts}
            if not chosen.json:
                print(
                    f"{architecture}: published {epochs_s['published']:.0f} s, ours {epochs_s['ours']:.1f} s an epoch"
                )
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)


def probe(kind: str, architecture: str, crops: Path, feats: Path, num_steps: int) -> dict[str, float]:
    """One measurement in a process of its own; ours runs with the allocator's settings that its command sets.

    Raises:
        CalledProcessError: It failed; its error output was shown.
    """
    environment = {**os.environ, **({VARIABLE: TUNABLES} if kind == "ours" else {})}
    command = [sys.executable, "-m", "benchmarks.instruments.adapt_probe", kind, architecture, str(crops), str(feats)]
    done = subprocess.run(
        [*command, str(num_steps)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    parts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return parts


def epoch_s(parts: dict[str, float]) -> float:
    """Seconds of a whole epoch, from the rates of its parts."""
    return parts["embed_s_per_crop"] * NUM_CROPS + parts["cluster_s"] + parts["step_s"] * NUM_STEPS


if __name__ == "__main__":
    main()
