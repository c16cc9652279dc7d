"""What adaptation without labels gains: OSNet x0.25 from MSMT17 weights to Market-1501, 500 identities to 251 others.

Direct transfer, Cluster-Contrast, ISE in the paper's form and with its released factors, our best, and training with
labels as the bound; two seeds each. Every run goes through `osprey-train` into RUNS/METHOD-SEED. A complete run that
lies there is taken as it is, one that was broken off is gone on with, and one of another config is refused. All of it
takes hours; `--collect-only` publishes what is there.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.adaptation_report import (
    REFERENCE,
    REFERENCE_DIRECT,
    Curves,
    Scores,
    curve_of,
    figures_of,
    percent,
    plot_adaptation,
    table,
)
from benchmarks.instruments.adaptation_runs import (
    ARCHITECTURE,
    DATASET,
    SPLIT,
    SUPERVISED,
    Run,
    Task,
    check_config,
    complete,
    run_of,
)
from reid.logs import configure_logs
from train.adapt import Adapter
from train.checkpoint import load_osnet
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import read_split
from train.datasets.samples import ReidSample, Split, labelled_pids
from train.evaluator import evaluator_of
from train.recipes.adaptation import ise
from train.run_folder import RunFolder
from train.site import site_of
from train.start import read_start

NAME = "adaptation"
FIGURE_NAMES = {
    "cluster-contrast": "cluster_contrast",
    "ise": "ise",
    "ise-released": "ise_released",
    "ise-plus": "best",
    SUPERVISED: SUPERVISED,
}
"""The methods, and what their figures are called."""
_QUICK_PIDS = 32
_QUICK_STEPS = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, publish and plot."""
    chosen = _flags().parse_args(arguments)
    task = Task(data_root=chosen.data, checkpoint=chosen.checkpoint, cache=DEFAULT_CACHE)
    missing = [path for path in (task.data_root, task.checkpoint) if not path.exists()]
    if missing:
        _skip(f"no {missing[0]}: set OSPREY_DATA, or --data and --checkpoint", quick=chosen.quick)
        return
    configure_logs(level="warning")
    if chosen.quick:
        publish(NAME, quick_outcome(task), quick=True)
    else:
        _full(chosen, task)


def collect(runs: Iterable[Run], checkpoint: Path) -> tuple[dict[str, dict[int, dict[int, Scores]]], list[str]]:
    """Scores of the complete runs, and the names of those that are not.

    Raises:
        TrainingError: A folder holds a run of another config.
    """
    curves: dict[str, dict[int, dict[int, Scores]]] = {}
    missing: list[str] = []
    for run in runs:
        if not run.is_complete:
            missing.append(run.name)
            continue
        check_config(run, checkpoint)
        curves.setdefault(run.method, {})[run.seed] = curve_of(run.history)
    return curves, missing


def direct_transfer(task: Task, split: Split) -> Scores:
    """Scores of the weights that all runs start from."""
    evaluate = evaluator_of(split, task.cache)
    assert evaluate is not None
    return percent(evaluate(load_osnet(read_start(task.checkpoint).checkpoint, ARCHITECTURE)))


def quick_outcome(task: Task) -> Outcome:
    """Direct transfer and an epoch of a few steps of ISE on a few people: whether it runs, not how good it is."""
    with tempfile.TemporaryDirectory() as folder:
        task = Task(data_root=task.data_root, checkpoint=task.checkpoint, cache=Path(folder) / "cache")
        split = small_part(read_split(DATASET, task.data_root, SPLIT), num_pids=_QUICK_PIDS)
        settings = ise().model_copy(
            update={
                "init": str(task.checkpoint),
                "architecture": ARCHITECTURE,
                "num_epochs": 1,
                "num_iterations": _QUICK_STEPS,
            }
        )
        adapter = Adapter(
            settings,
            site_of(load_crops(split.train, task.cache)),
            RunFolder(Path(folder) / "run", settings.model_dump(mode="json")),
            evaluate=evaluator_of(split, task.cache),
        )
        adapter.run(threading.Event())
        curves = {"ise": {settings.seed: curve_of(adapter.history)}}
        figures = figures_of(direct_transfer(task, split), curves, FIGURE_NAMES)
    return Outcome(figures=figures, details={})


def small_part(split: Split, *, num_pids: int) -> Split:
    """The first people of the training and of the test part."""

    def only(samples: Sequence[ReidSample], pids: set[int]) -> tuple[ReidSample, ...]:
        return tuple(sample for sample in samples if sample.pid in pids)

    to_train, to_test = (set(labelled_pids(part)[:num_pids]) for part in (split.train, split.query))
    return Split(
        train=only(split.train, to_train), query=only(split.query, to_test), gallery=only(split.gallery, to_test)
    )


def _full(chosen: Namespace, task: Task) -> None:
    runs = [run_of(method, seed, chosen.runs) for method in chosen.methods for seed in chosen.seeds]
    if not chosen.collect_only:
        for run in runs:
            complete(run, task)
    curves, missing = collect(runs, task.checkpoint)
    direct = direct_transfer(task, read_split(DATASET, task.data_root, SPLIT))
    if not chosen.json:
        print(table(direct, curves))
        print(f"missing: {', '.join(missing)}" if missing else "all runs are complete")
    publish(NAME, _outcome(direct, curves, missing, runs), quick=False)
    plot_adaptation(RESULTS / f"{NAME}.png", direct, curves)


def _outcome(direct: Scores, curves: Curves, missing: list[str], runs: Sequence[Run]) -> Outcome:
    details = {
        "task": f"{ARCHITECTURE}, MSMT17 weights, {DATASET} {SPLIT}; mAP, R1 and R5 in percent by epoch",
        "missing": missing,
        "scores": curves,
        "published_code": {"direct": REFERENCE_DIRECT, **REFERENCE},
        "table": table(direct, curves).splitlines(),
        "duration_s": {run.name: sum(line["duration_s"] for line in run.history) for run in runs if run.is_complete},
        "settings": {run.name: run.settings.model_dump(mode="json", exclude={"init"}) for run in runs},
    }
    return Outcome(figures=figures_of(direct, curves, FIGURE_NAMES), details=details)


def _skip(reason: str, *, quick: bool) -> None:
    """Say why there is nothing to measure; only the short form may go without."""
    if not quick:
        raise SystemExit(reason)
    print(f"skipped: {reason}", file=sys.stderr)
    publish(NAME, Outcome(figures={}, details={}), quick=True)


def _flags() -> ArgumentParser:
    data = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
    parser = flags(NAME, "Adaptation without labels, against direct transfer and training with labels.")
    parser.add_argument("--methods", nargs="+", choices=list(FIGURE_NAMES), default=list(FIGURE_NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / NAME, help="folder of the runs")
    parser.add_argument("--data", type=Path, default=data / "market1501_train", help="where Market-1501 lies")
    parser.add_argument("--checkpoint", type=Path, default=data / "osnet_x0_25" / "osnet_x0_25_msmt17.pth")
    parser.add_argument("--collect-only", action="store_true", help="train nothing: publish what is complete")
    return parser


if __name__ == "__main__":
    main()
