"""Verdicts of the gate on candidates that were made bad on purpose, and on good ones.

    python -m benchmarks.gate [--quick] [--runs DIR] [--work DIR]

The full form judges children of two releases on people whom no training saw: of the MSMT17 weights, and of a release
that was adapted already (Market-1501 as six cameras, 251 identities held out). Good ones are the runs of
`benchmarks.adaptation` that gain `LEAST_GAIN` points of mAP by labels; those that gain or lose less are shown as even
and counted neither way. The gate never sees a label. `--quick` judges a few on the simulated site, where the parent is
the default release with noise on its weights. It leaves out those that take a training: after the few steps that it has
time for, such candidates passed there, and nothing says by labels whether they were worse than that parent.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.gate.plot import plot_verdicts
from benchmarks.instruments.gate.poisons import Workshop, network_of, with_noise
from benchmarks.instruments.gate.sites import write_market, write_simulated
from benchmarks.instruments.gate.truth import Truth
from reid.logs import configure_logs
from reid.release import Release, Thresholds, load_release
from reid.snapshot import Snapshot
from server.gate.held_out import read_held_out
from server.gate.judge import Judge
from server.gate.settings import GateSettings
from server.gate.verdict import Verdict
from train.checkpoint import load_osnet, read_checkpoint
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import read_split
from train.datasets.snapshot import samples_of
from train.export import ReleaseDescription, export_release
from train.osnet import OSNet
from train.site import site_of_snapshot

NAME = "gate"
LEAST_GAIN = 5.0
"""Points of labelled mAP over the parent from which on a candidate is good: refusing it would be a loss."""
Kind = Literal["good", "even", "poisoned"]
_NUM_TRAIN_CROPS = 1000
_NUM_STEPS = 40
_NUM_ALIGNED_QUICK = 256
_SETTINGS, _SETTINGS_QUICK = GateSettings(max_crops=1000), GateSettings(max_crops=300)
_DEFAULT_RELEASE = ROOT / "models" / "osnet_x0_25_default"
_QUICK_NOISE = 0.2
_ADAPTED = "cluster-contrast-1"
"""Run whose release is the second parent."""
_BEST = "ise-plus-1"
"""Run of which some of the poisoned are made."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate and what became of it."""

    parent: str
    candidate: str
    kind: Kind
    is_accepted: bool
    gain_map: float | None
    """By labels, in points; None where that was not measured."""
    gain_crossing: float | None
    """As the gate measured it; None where it refused earlier."""
    failed: list[str]
    duration_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the candidates, judge them, publish and plot."""
    chosen = _flags().parse_args(arguments)
    configure_logs(level="warning")
    if chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows = _quick(Path(folder))
        publish(NAME, _outcome(rows), quick=True)
        return
    missing = [path for path in (chosen.data, chosen.checkpoint, chosen.runs) if not path.exists()]
    if missing:
        raise SystemExit(
            f"no {missing[0]}: set OSPREY_DATA, and --runs to the runs of 'python -m benchmarks.adaptation'"
        )
    rows = _full(chosen)
    if not chosen.json:
        print("\n".join(table(rows)))
    publish(NAME, _outcome(rows), quick=False)
    plot_verdicts(RESULTS / f"{NAME}.png", [asdict(row) for row in rows])


def figures_of(rows: Sequence[Row]) -> dict[str, float]:
    """The confusion table as numbers."""
    poisoned, good = ([row for row in rows if row.kind == kind] for kind in ("poisoned", "good"))
    return {
        "poisoned_passed": sum(row.is_accepted for row in poisoned),
        "num_poisoned": len(poisoned),
        "good_refused": sum(not row.is_accepted for row in good),
        "num_good": len(good),
        "slowest_s": max((row.duration_s for row in rows), default=0.0),
    }


def table(rows: Sequence[Row]) -> list[str]:
    """One line for each candidate."""
    return [
        f"{row.parent:20} {row.candidate:20} {row.kind:9} {'accepted' if row.is_accepted else 'refused':9}"
        f"{_signed(row.gain_map, 1):>8}{_signed(row.gain_crossing, 3):>9}  {' '.join(row.failed)}"
        for row in rows
    ]


def judge_all(
    parent_name: str, judge: Judge, candidates: Mapping[str, tuple[Path, bool]], truth: Truth | None
) -> list[Row]:
    """Judge every candidate.

    Args:
        parent_name: For people.
        judge: Of the parent.
        candidates: Folder of each, and whether it is poisoned.
        truth: Asked for the labelled scores; None to go without.
    """
    rows = []
    for name, (folder, is_poisoned) in candidates.items():
        started = time.perf_counter()
        verdict = judge.judge(folder)
        duration_s = time.perf_counter() - started
        gain = _labelled_gain(truth, judge.parent, folder)
        kind: Kind = "poisoned" if is_poisoned else "good" if gain is None or gain >= LEAST_GAIN else "even"
        rows.append(
            Row(
                parent=parent_name,
                candidate=name,
                kind=kind,
                is_accepted=verdict.is_accepted,
                gain_map=gain,
                gain_crossing=_crossing_gain(verdict),
                failed=[check.name for check in verdict.failed],
                duration_s=duration_s,
            )
        )
        print(table(rows[-1:])[0], file=sys.stderr, flush=True)
    return rows


def _quick(folder: Path) -> list[Row]:
    default = load_release(_DEFAULT_RELEASE)
    parent = _sealed(with_noise(network_of(default), share=_QUICK_NOISE), folder / "parent")
    snapshot = write_simulated(folder / "snapshot", parent=parent.manifest.space)
    workshop = _workshop(parent, snapshot, folder / "children", folder / "cache")
    workshop = replace(workshop, num_aligned=_NUM_ALIGNED_QUICK)
    good = workshop.child("good", lambda: network_of(default))
    poisons = workshop.poisons(good, trainings=())
    judge = _judge(parent, snapshot, _SETTINGS_QUICK)
    return judge_all("noisy default", judge, _candidates({"good": good}, poisons), None)


def _full(chosen: Namespace) -> list[Row]:
    split = read_split("market1501", chosen.data, "500-251")
    truth = Truth(split=split, cache=DEFAULT_CACHE, memory=chosen.work / "truth.json")
    networks = _runs(chosen.runs)
    direct = load_osnet(read_checkpoint(chosen.checkpoint), "osnet_x0_25")
    rows = []
    for parent_name, network in (("direct transfer", direct), (_ADAPTED, networks[_ADAPTED])):
        folder = chosen.work / parent_name.replace(" ", "-")
        parent = _sealed(network, folder / "parent")
        snapshot = write_market(
            folder / "snapshot",
            split,
            DEFAULT_CACHE,
            num_train_crops=_NUM_TRAIN_CROPS,
            parent=parent.manifest.space,
        )
        workshop = _workshop(parent, snapshot, folder, DEFAULT_CACHE)
        children = {
            name: workshop.child(name, lambda child=child: child)  # type: ignore[misc]
            for name, child in networks.items()
            if name != parent_name
        }
        poisons = workshop.poisons(children[_BEST])
        rows += judge_all(parent_name, _judge(parent, snapshot, _SETTINGS), _candidates(children, poisons), truth)
    return rows


def _runs(folder: Path) -> dict[str, OSNet]:
    """The networks of all complete runs of `benchmarks.adaptation`, by name."""
    return {
        path.parent.name: load_osnet(read_checkpoint(path), "osnet_x0_25")
        for path in sorted(folder.glob("*/final.pt"))
        if "-all-" not in path.parent.name  # those were trained on the held-out people too
    }


def _candidates(good: Mapping[str, Path], poisons: Mapping[str, Path]) -> dict[str, tuple[Path, bool]]:
    poisoned = {name: (path, True) for name, path in poisons.items()}
    return {name: (path, False) for name, path in good.items()} | poisoned


def _workshop(parent: Release, snapshot: Snapshot, folder: Path, cache: Path) -> Workshop:
    cached = load_crops(samples_of(snapshot, "train"), cache)
    return Workshop(parent=parent, site=site_of_snapshot(cached, snapshot), folder=folder, num_steps=_NUM_STEPS)


def _judge(parent: Release, snapshot: Snapshot, settings: GateSettings) -> Judge:
    return Judge(parent=parent, held_out=read_held_out(snapshot, settings), settings=settings)


def _sealed(network: OSNet, folder: Path) -> Release:
    """A network as a first release, without a parent of its own."""
    if folder.exists():
        return load_release(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    description = ReleaseDescription(
        name="parent",
        version="1",
        thresholds=Thresholds(match=0.6, how="chosen for the benchmark of the gate"),
        provenance={"data": "benchmarks.gate"},
    )
    return export_release(network, folder, description)


def _labelled_gain(truth: Truth | None, parent: Release, folder: Path) -> float | None:
    if truth is None:
        return None
    came, old = truth.labelled_map(folder), truth.labelled_map(parent.folder)
    return None if came is None or old is None else came - old


def _crossing_gain(verdict: Verdict) -> float | None:
    old, new = (verdict.figures.get(f"{name}_crossing") for name in ("parent", "candidate"))
    return None if old is None or new is None else new - old


def _signed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:+.{digits}f}"


def _outcome(rows: Sequence[Row]) -> Outcome:
    details: dict[str, Any] = {
        "settings": _SETTINGS.model_dump(mode="json"),
        "table": table(rows),
        "candidates": [asdict(row) for row in rows],
    }
    return Outcome(figures=figures_of(rows), details=details)


def _flags() -> ArgumentParser:
    data = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
    parser = flags(NAME, "Verdicts of the gate on poisoned and good candidates.")
    parser.add_argument("--data", type=Path, default=data / "market1501_train", help="where Market-1501 lies")
    parser.add_argument("--checkpoint", type=Path, default=data / "osnet_x0_25" / "osnet_x0_25_msmt17.pth")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "build" / "adaptation", help="runs of benchmarks.adaptation"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / NAME, help="candidates are made and kept here")
    return parser


if __name__ == "__main__":
    main()
