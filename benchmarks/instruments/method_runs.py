"""The task of `benchmarks.method_table` and `benchmarks.ablations`, and their runs on it.

Source: the first 250 identities of Market-1501 with their labels; target: the next 250 without; test: the 251 that
nobody sees (`market-500-251`). OSNet x0.25 from MSMT17 weights unless others are chosen, and save for networks that are
trained from scratch. Results of another network or of a GPU have a file of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.command_runs import CommandRun, check_task, complete
from benchmarks.instruments.method_report import by_name, figures_of, plot_methods, table
from reid.settings import Settings
from train.adapt import Adapter, AdaptSettings
from train.checkpoint import load_network
from train.commands_adapt import RECIPES, TRANSFER_RECIPES
from train.commands_supervised import RECIPES as SUPERVISED_RECIPES
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import read_split
from train.datasets.samples import ReidSample, Split, labelled_pids
from train.errors import TrainingError
from train.evaluator import Evaluate, evaluator_of
from train.run_folder import CHECKPOINT_FILE, RunFolder
from train.site import SiteCrops, site_of
from train.source import SourceCrops, source_of
from train.start import read_start
from train.styles.transferred import STYLE_FILE
from train.transfer import Transfer, TransferSettings

ARCHITECTURE = "osnet_x0_25"
DATASET, SOURCE_SPLIT, TARGET_SPLIT, WHOLE_SPLIT = "market1501", "source-250", "target-250", "500-251"
TEST = "the 251 unseen of market-500-251"
ADAPT_RECIPES: dict[str, Callable[[], AdaptSettings | TransferSettings]] = {**RECIPES, **TRANSFER_RECIPES}
_QUICK_PIDS, _QUICK_STEPS = 10, 2
_QUICK_BATCHES = {"num_source": 16, "num_target": 16}, {"num_ids": 4, "num_crops": 4}
"""Of a transfer, and of an adaptation."""


def parser(name: str, description: str, methods: Sequence[str]) -> ArgumentParser:
    """Flags of a benchmark whose runs take hours."""
    data = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
    made = flags(name, description)
    made.add_argument("--full", action="store_true", help="the whole of it, as without --quick")
    made.add_argument("--methods", nargs="+", choices=list(methods), default=list(methods))
    made.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    made.add_argument("--epochs", type=int, default=0, help="of adaptations, instead of the recipes' own")
    made.add_argument("--runs", type=Path, default=ROOT / "build" / name, help="folder of the runs")
    made.add_argument("--data", type=Path, default=data / "market1501_train", help="where Market-1501 lies")
    made.add_argument("--arch", default=ARCHITECTURE, help="of the network that adapts")
    made.add_argument("--checkpoint", type=Path, default=data / "osnet_x0_25" / "osnet_x0_25_msmt17.pth")
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--collect-only", action="store_true", help="train nothing: publish what is complete")
    return made


def skip_without_data(name: str, chosen: Namespace) -> bool:
    """Say why there is nothing to measure; only the short form may go without.

    Raises:
        SystemExit: Data is missing for a full run.
    """
    missing = [path for path in (chosen.data, chosen.checkpoint) if not path.exists()]
    if not missing:
        return False
    reason = f"no {missing[0]}: set OSPREY_DATA, or --data and --checkpoint"
    if not chosen.quick:
        raise SystemExit(reason)
    print(f"skipped: {reason}", file=sys.stderr)
    publish(name, Outcome(figures={}, details={}), quick=True)
    return True


def run_of(method: str, seed: int, chosen: Namespace) -> CommandRun:
    """The run of a recipe and a seed, as the recipe is now.

    Raises:
        KeyError: There is no such recipe.
    """
    files = {"--data-root": chosen.data, "--cache": DEFAULT_CACHE.expanduser()}
    settings: Settings
    if method in SUPERVISED_RECIPES:
        settings, init = SUPERVISED_RECIPES[method](), None
        words = ["supervised", "--recipe", method, "--data", DATASET, "--split", WHOLE_SPLIT]
    else:
        settings, init = ADAPT_RECIPES[method](), chosen.checkpoint
        words = ["adapt", "--method", method, "--arch", chosen.arch, "--data", DATASET, "--split", TARGET_SPLIT]
        if _takes_source(settings):
            words += ["--source", DATASET, "--source-split", SOURCE_SPLIT]
            files["--source-root"] = chosen.data
        if isinstance(settings, TransferSettings) and settings.style.kind == "stargan" and chosen.styles is not None:
            files["--styles"] = chosen.styles
        if chosen.epochs:
            words += ["--epochs", str(chosen.epochs)]
    return CommandRun(
        name=method,
        seed=seed,
        folder=chosen.runs / f"{method}-{seed}",
        words=tuple(words),
        settings=settings,
        files=files,
        init=init,
        device=chosen.device,
    )


def trained_style(chosen: Namespace) -> Path:
    """Folder of a StarGAN of the target's cameras, trained by the public command where that has not been done.

    Raises:
        TrainingError: The command failed; its error output was shown.
    """
    folder: Path = chosen.runs / "style"
    if (folder / STYLE_FILE).is_file():
        return folder
    words = ["style-transfer", "--data", DATASET, "--split", TARGET_SPLIT, "--data-root", str(chosen.data)]
    words += [
        "--out",
        str(folder),
        "--device",
        chosen.device,
        *(["--resume"] if (folder / CHECKPOINT_FILE).is_file() else []),
    ]
    if subprocess.run([sys.executable, "-m", "train", *words], cwd=ROOT, check=False).returncode != 0:
        raise TrainingError(f"style-transfer into {folder} failed")
    return folder


def publish_runs(name: str, chosen: Namespace, runs: Sequence[CommandRun]) -> None:
    """Bring runs to their end unless they are only to be collected; publish and plot what is complete.

    Raises:
        TrainingError: A folder holds another run, or a run failed.
    """
    for run in runs:
        if not chosen.collect_only:
            complete(run)
        elif run.is_complete:
            check_task(run)
    found, missing = by_name(runs)
    direct = direct_scores(chosen)
    shown = table(direct, found)
    if not chosen.json:
        print(shown)
        print(f"missing: {', '.join(missing)}" if missing else "all runs are complete")
    details = {
        "task": f"{chosen.arch}, {SOURCE_SPLIT} with and {TARGET_SPLIT} without labels, tested on {TEST}",
        "epochs": chosen.epochs or "those of the recipes",
        "missing": missing,
        "table": shown.splitlines(),
        "scores": {method: {run.seed: run.scores for run in seeds} for method, seeds in found.items()},
        "settings": {run.name: run.settings.model_dump(mode="json", exclude={"init"}) for run in runs},
    }
    results = results_name(name, chosen)
    publish(name, Outcome(figures=figures_of(direct, found), details=details), quick=False, results=results)
    plot_methods(RESULTS / f"{results}.png", direct, found, test=TEST)


def results_name(name: str, chosen: Namespace) -> str:
    """Under which results are published: with network and device where they are not the usual ones."""
    unusual = [word for word in (chosen.arch, chosen.device) if word not in (ARCHITECTURE, "cpu")]
    return "_".join([name, *unusual])


def direct_scores(chosen: Namespace) -> dict[str, float]:
    """Scores, in percent, of the weights that adaptations start from."""
    evaluate = evaluator_of(read_split(DATASET, chosen.data, TARGET_SPLIT), DEFAULT_CACHE)
    assert evaluate is not None
    scores = evaluate(load_network(read_start(chosen.checkpoint).checkpoint, chosen.arch))
    return {name: 100 * scores[name] for name in ("mAP", "R1", "R5")}


def publish_quick(name: str, chosen: Namespace, methods: Sequence[str]) -> None:
    """Two steps of some adaptations on a few people: whether they run, not how good they are."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        source, site, evaluate = _small_task(chosen.data, Path(folder) / "cache")
        for method in methods:
            settings = _quick_settings(method, chosen)
            run_folder = RunFolder(Path(folder) / method, settings.model_dump(mode="json"))
            if isinstance(settings, TransferSettings):
                trainer: Transfer | Adapter = Transfer(settings, source, site, run_folder, evaluate=evaluate)
            else:
                learn_from = source if settings.takes_source else None
                trainer = Adapter(settings, site, run_folder, source=learn_from, evaluate=evaluate)
            trainer.run(threading.Event())
            figures[f"map_{method.replace('-', '_')}"] = 100 * float(trainer.history[-1]["mAP"])
    publish(name, Outcome(figures=figures, details={}), quick=True)


def _quick_settings(method: str, chosen: Namespace) -> AdaptSettings | TransferSettings:
    settings = ADAPT_RECIPES[method]()
    batches = _QUICK_BATCHES[0] if isinstance(settings, TransferSettings) else _QUICK_BATCHES[1]
    start = {"init": str(chosen.checkpoint), "architecture": chosen.arch}
    return settings.model_copy(update={**start, **batches, "num_epochs": 1, "num_iterations": _QUICK_STEPS})


def _small_task(data: Path, cache: Path) -> tuple[SourceCrops, SiteCrops, Evaluate]:
    source, target = (read_split(DATASET, data, split) for split in (SOURCE_SPLIT, TARGET_SPLIT))
    test = Split(train=(), query=_few(target.query, target.query), gallery=_few(target.gallery, target.query))
    evaluate = evaluator_of(test, cache)
    assert evaluate is not None
    learned, adapted = (load_crops(_few(split.train, split.train), cache) for split in (source, target))
    return source_of(learned), site_of(adapted), evaluate


def _few(samples: Sequence[ReidSample], of: Sequence[ReidSample]) -> tuple[ReidSample, ...]:
    """Samples of the first identities of some others."""
    pids = set(labelled_pids(of)[:_QUICK_PIDS])
    return tuple(sample for sample in samples if sample.pid in pids)


def _takes_source(settings: AdaptSettings | TransferSettings) -> bool:
    return isinstance(settings, TransferSettings) or settings.takes_source
