"""The command `style-transfer`: a site's crops as its other cameras might have seen them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from reid.cli import EXIT_INTERRUPTED, AsJson, print_json, transient_bar
from reid.errors import ConfigError
from reid.logs import configure_logs
from reid.types import IntArray
from train.commands_supervised import stop_on_signals
from train.crop_cache import DEFAULT_CACHE, CachedCrops, load_crops
from train.datasets.registry import chosen_split, read_split, splits_help
from train.datasets.samples import camids_of
from train.options import CacheFolder, DataName, DataRoot, Device, Resume, Seed
from train.recipes.styles import stargan_light, stargan_paper
from train.run_folder import RunFolder
from train.speed import restart_with_fast_malloc
from train.styles.choice import make_style
from train.styles.judge import CameraJudge
from train.styles.sheet import draw_style_sheet
from train.styles.stargan import StarganSettings
from train.styles.stargan_trainer import OnStep, StarganTrainer
from train.styles.style import Style, StyleSettings
from train.styles.transferred import write_style

RECIPES: dict[str, Callable[[], StarganSettings]] = {"light": stargan_light, "paper": stargan_paper}
SHEET_FILE = "samples.png"

SplitName = Annotated[str, typer.Option("--split", help=f"Whose training part; else the first of {splits_help()}.")]
StyleOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the style, for a new one without one.")]
RecipeName = Annotated[str, typer.Option("--recipe", help=f"One of: {', '.join(RECIPES)}.")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Of the generator, instead of the recipe's.")]


def style_transfer(
    data_root: DataRoot,
    out: StyleOut,
    data: DataName = "market1501",
    split: SplitName = "",
    recipe: RecipeName = "light",
    steps: Steps = None,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "cpu",
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Train a StarGAN on the cameras of a data set's training part, and show all its crops as each camera might have.

    The folder gets transferred.npy and style.json, which 'adapt --styles' takes, samples.png (shows people: crops in
    this style and in the two light ones, which need no training) and metrics.json. Labels are not used. A judge that
    learned from real crops says how many restyled ones pass for those of the wanted camera. Ctrl-C saves and stops.

    Example: osprey-train style-transfer --data-root market1501 --split target-250 --out styles/site
    """
    restart_with_fast_malloc()
    configure_logs()
    settings = _settings(recipe, steps, seed)
    split = chosen_split(data, split)
    cached = load_crops(read_split(data, data_root, split).train, cache)
    named = {"data": data, "split": split}
    folder = RunFolder(out, _run_config(recipe, settings, cached, named), resume=resume)
    cameras = np.unique(camids_of(cached.samples), return_inverse=True)[1].astype(np.int64)
    trainer = StarganTrainer(settings, cached.crops, cameras, folder.path, device=device)
    with stop_on_signals() as stop, _progress_bar("training", settings.num_steps) as show:
        is_complete = trainer.run(stop, show)
    if not is_complete:
        typer.echo(folder.say_stopped(), err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    shares = _finish(trainer, settings, cached, cameras, folder.path, named)
    _report(folder.path, shares, as_json=as_json)


def _settings(recipe: str, steps: int | None, seed: int | None) -> StarganSettings:
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe '{recipe}'; known: {', '.join(RECIPES)}")
    changes = {"num_steps": steps, "seed": seed}
    return RECIPES[recipe]().model_copy(update={key: value for key, value in changes.items() if value is not None})


def _run_config(
    recipe: str, settings: StarganSettings, cached: CachedCrops, named: Mapping[str, str]
) -> dict[str, object]:
    return {
        "recipe": recipe,
        "settings": settings.model_dump(mode="json"),
        "data": {**named, "num_crops": len(cached.samples)},
    }


def _finish(
    trainer: StarganTrainer,
    settings: StarganSettings,
    cached: CachedCrops,
    cameras: IntArray,
    folder: Path,
    named: Mapping[str, str],
) -> dict[str, float]:
    """Make all crops in all styles, draw some, and judge them."""
    size = settings.height_px, settings.width_px
    with _progress_bar("restyling", len(cached.crops)) as show:
        write_style(
            folder,
            cached.crops,
            cameras,
            trainer.restyle,
            size_px=size,
            says={**named, "settings": settings.model_dump(mode="json")},
            on_batch=lambda num_done: show(num_done, 0.0),
        )
    styles: dict[str, Style] = {}
    for wanted in (StyleSettings(kind="stargan", folder=str(folder)), *_light_styles()):
        style = make_style(wanted, cached.crops, cameras)
        assert style is not None
        styles[wanted.kind] = style
    draw_style_sheet(folder / SHEET_FILE, styles, cached.crops, cameras)
    judge = CameraJudge(cached.crops, cameras)
    passing = {name: judge.passing_share(style) for name, style in styles.items()}
    return {"real": judge.real_accuracy(), "unchanged": judge.unchanged_share(), **passing}


def _light_styles() -> tuple[StyleSettings, ...]:
    return StyleSettings(kind="colour"), StyleSettings(kind="fourier")


def _report(folder: Path, shares: Mapping[str, float], *, as_json: bool) -> None:
    if as_json:
        print_json({"style": folder, "sheet": folder / SHEET_FILE, "passing": dict(shares)})
        return
    typer.echo(f"style in {folder}; look at {folder / SHEET_FILE}")
    passing = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if name != "real")
    typer.echo(f"a judge that names the camera of {shares['real']:.0%} of real crops takes for the wanted camera's:")
    typer.echo(passing)


@contextmanager
def _progress_bar(what: str, total: int) -> Iterator[OnStep]:
    with transient_bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda step, loss: progress.update(task, completed=step)
