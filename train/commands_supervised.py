"""The command `supervised`: train an OSNet on labelled crops, by a recipe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from reid.cli import EXIT_INTERRUPTED, AsJson, print_json, transient_bar
from reid.errors import ConfigError
from reid.logs import configure_logs
from train.crop_cache import DEFAULT_CACHE, CachedCrops, load_crops
from train.datasets.registry import read_split, splits_help
from train.datasets.samples import pids_of, require_labels
from train.evaluator import evaluator_of
from train.options import CacheFolder, DataName, DataRoot, Device, Resume, RunOut, Seed
from train.recipes.ablations import OSNET_ABLATIONS
from train.recipes.default_release import default_release, default_release_full_size
from train.recipes.fine_tune import fine_tune
from train.recipes.osnet_paper import paper, paper_from_scratch, paper_x0_25
from train.run_folder import RunFolder
from train.speed import restart_with_fast_malloc
from train.start import read_start
from train.supervised import Progress, SupervisedSettings, SupervisedTrainer

RECIPES: dict[str, Callable[[], SupervisedSettings]] = {
    "default-release": default_release,
    "default-release-full-size": default_release_full_size,
    "fine-tune": fine_tune,
    "paper": paper,
    "paper-x0-25": paper_x0_25,
    "paper-from-scratch": paper_from_scratch,
    **OSNET_ABLATIONS,
}
_GO_ON_FROM_WEIGHTS = ("default-release-full-size", "fine-tune", "paper", "paper-x0-25")

RecipeName = Annotated[str, typer.Option("--recipe", help=f"One of: {', '.join(RECIPES)}.")]
SplitName = Annotated[str, typer.Option("--split", help=f"Which identities train: {splits_help()}.")]
Init = Annotated[
    Path | None,
    typer.Option("--init", metavar="RELEASE|CKPT", help="Weights to start from; none: from scratch."),
]
Arch = Annotated[str, typer.Option("--arch", help="Instead of the recipe's, for example osnet_x1_0.")]


def supervised(
    data_root: DataRoot,
    out: RunOut,
    recipe: RecipeName = "default-release",
    data: DataName = "market1501",
    split: SplitName = "all",
    init: Init = None,
    arch: Arch = "",
    seed: Seed = None,
    device: Device = "cpu",
    resume: Resume = False,
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Train an OSNet on labelled crops.

    'default-release' takes half an hour of a CPU core. 'paper' and 'paper-x0-25' are the schedules of the published
    OSNet x1.0 and x0.25, from ImageNet weights; 'paper-from-scratch' is the paper's own without. They want a GPU.

    A split with a test part is scored on it every 5 epochs. Ctrl-C saves and stops; the same command with --resume goes
    on from there, to the same losses. Make a release of the outcome with
    'osprey-train export --checkpoint DIR/final.pt'.

    Example: osprey-train supervised --recipe default-release --data-root market1501 --split all --out runs/default
    """
    restart_with_fast_malloc()
    configure_logs()
    settings = _settings_of(recipe, init, arch, seed)
    chosen = read_split(data, data_root, split)
    require_labels(chosen.train)
    crops = load_crops(chosen.train, cache)
    folder = RunFolder(out, run_config(recipe, settings, crops, dataset=data, split=split), resume=resume)
    trainer = SupervisedTrainer(settings, crops, folder, evaluate=evaluator_of(chosen, cache), device=device)
    with stop_on_signals() as stop, _progress_bar(settings) as on_step:
        is_complete = trainer.run(stop, on_step)
    if not is_complete:
        typer.echo(folder.say_stopped(), err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    last = trainer.history[-1]
    if as_json:
        print_json({"final": folder.final_path, **last})
    else:
        scores = "".join(f", {name} {last[name]:.1%}" for name in ("mAP", "R1", "R5") if name in last)
        typer.echo(f"{folder.final_path}: loss {last['loss']:.3f}, training accuracy {last['accuracy']:.1%}{scores}")


def run_config(
    recipe: str, settings: SupervisedSettings, crops: CachedCrops, *, dataset: str, split: str
) -> dict[str, Any]:
    """Everything that decides a run's outcome, as plain values for its `config.json`."""
    return {
        "recipe": recipe,
        "settings": settings.model_dump(mode="json"),
        "data": {
            "dataset": dataset,
            "split": split,
            "num_crops": len(crops.samples),
            "num_pids": len(set(pids_of(crops.samples).tolist())),
        },
        "init_sha256": read_start(Path(settings.init)).sha256 if settings.init else "",
    }


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a step is never cut in two; a second Ctrl-C stops at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings_of(recipe: str, init: Path | None, arch: str, seed: int | None) -> SupervisedSettings:
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe '{recipe}'; known: {', '.join(RECIPES)}")
    chosen = {"init": None if init is None else str(init), "architecture": arch or None, "seed": seed}
    settings = RECIPES[recipe]().model_copy(update={key: value for key, value in chosen.items() if value is not None})
    if recipe in _GO_ON_FROM_WEIGHTS and not settings.init:
        raise ConfigError(f"recipe '{recipe}' goes on from weights: give them with --init")
    return settings


@contextmanager
def _progress_bar(settings: SupervisedSettings) -> Iterator[Callable[[Progress, int], None]]:
    with transient_bar() as progress:
        task = progress.add_task("")

        def on_step(run: Progress, num_steps: int) -> None:
            epoch = f"epoch {run.epoch + 1}/{settings.num_epochs}"
            rate = run.num_seen / max(1e-9, run.duration_s)
            description = f"{epoch}  loss {run.loss_sum / run.num_seen:.3f}  {rate:.0f} images/s"
            progress.update(task, description=description, completed=run.step, total=num_steps)

        yield on_step
