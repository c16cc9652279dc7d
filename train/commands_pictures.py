"""The commands `attributes` and `cifar`: OSNet on pictures that are no identities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from reid.cli import EXIT_INTERRUPTED, AsJson, print_json
from reid.errors import ConfigError
from reid.files import write_json_atomic
from reid.logs import configure_logs
from reid.release import Release
from train.attributes import (
    AttributeTask,
    DescribedBy,
    add_attributes,
    evaluator_of_attributes,
    fit_head,
    head_of,
    score_head,
)
from train.calibrate import UNCALIBRATED
from train.checkpoint import load_network, read_checkpoint
from train.commands_supervised import stop_on_signals
from train.crop_cache import DEFAULT_CACHE
from train.datasets.cifar import CifarName, read_cifar
from train.datasets.pa100k import AttributeCrops, AttributeSplit, load_part, read_pa100k
from train.embed import embed_crops
from train.export import ReleaseDescription, as_release_name, export_release, made_now
from train.kinds import KindTask, evaluator_of_kinds
from train.options import CacheFolder, DataRoot, Device, Epochs, Resume, RunOut, Seed
from train.picture_trainer import PictureSettings, PictureTrainer
from train.progress_file import ProgressFile
from train.recipes.pictures import attributes_fine_tune, attributes_pa100k, cifar_deep, cifar_short
from train.recipes.pictures import cifar as cifar_recipe
from train.run_display import drawing, progress_bar
from train.run_folder import METRICS_FILE, RELEASE_FOLDER, RunFolder
from train.speed import restart_with_fast_malloc
from train.start import Start, read_start

HEAD = "head"
ATTRIBUTE_RECIPES: dict[str, Callable[[], PictureSettings]] = {
    "pa100k": attributes_pa100k,
    "fine-tune": attributes_fine_tune,
}
CIFAR_RECIPES: dict[str, Callable[[], PictureSettings]] = {
    "paper": cifar_recipe,
    "paper-deep": cifar_deep,
    "short": cifar_short,
}

Init = Annotated[
    Path | None,
    typer.Option("--init", metavar="RELEASE|CKPT", help="Weights to start from; 'head' adds to a release."),
]
Arch = Annotated[str, typer.Option("--arch", help="Instead of the recipe's, for example osnet_x0_25.")]
AttributeRecipe = Annotated[str, typer.Option("--recipe", help=f"One of: {HEAD}, {', '.join(ATTRIBUTE_RECIPES)}.")]
CifarRecipe = Annotated[str, typer.Option("--recipe", help=f"One of: {', '.join(CIFAR_RECIPES)}.")]
CifarData = Annotated[str, typer.Option("--data", help=f"One of: {', '.join(get_args(CifarName))}.")]


def attributes(
    data_root: DataRoot,
    out: RunOut,
    recipe: AttributeRecipe = HEAD,
    init: Init = None,
    arch: Arch = "",
    seed: Seed = None,
    epochs: Epochs = None,
    device: Device = "cpu",
    resume: Resume = False,
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Learn attributes of persons from pictures in the layout of PA-100K.

    'head' leaves the network of a release as it is and gives the release a head that reads attributes off its
    embeddings, in a minute or so: its space stays, and a server that serves it shows attributes in its searches. The
    other recipes train the whole network, which is then good for attributes and not for telling people apart.

    Example: osprey-train attributes --init models/osnet_x0_25_default --data-root pa100k --out runs/attributes
    """
    restart_with_fast_malloc()
    configure_logs()
    split = read_pa100k(data_root)
    if recipe == HEAD:
        release, scores = _add_head(_release_of(init), split, out, cache, is_changed=any((arch, seed, epochs, resume)))
    else:
        settings = _settings(ATTRIBUTE_RECIPES, recipe, init, arch, seed, epochs)
        release, scores = _train_attributes(settings, recipe, split, out, cache, device=device, resume=resume)
    if as_json:
        print_json({"release": release.folder, "space": release.ref.space, **scores})
    else:
        typer.echo(f"release {release.ref} in {release.folder}: {len(split.names)} attributes")
        typer.echo(", ".join(f"{name} {score:.1%}" for name, score in scores.items()) + " on the test part")


def cifar(
    data_root: DataRoot,
    out: RunOut,
    data: CifarData = "cifar10",
    recipe: CifarRecipe = "short",
    arch: Arch = "",
    seed: Seed = None,
    epochs: Epochs = None,
    device: Device = "cpu",
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Train an OSNet on CIFAR-10 or CIFAR-100, from its published Python batches.

    Ctrl-C stops; the same command with --resume goes on from the last finished epoch, to the same losses.

    Example: osprey-train cifar --data cifar10 --data-root data --recipe paper --device cuda --out runs/cifar10
    """
    restart_with_fast_malloc()
    configure_logs()
    name = next((known for known in get_args(CifarName) if known == data), None)
    if name is None:
        raise ConfigError(f"unknown data set '{data}'; known: {', '.join(get_args(CifarName))}")
    split = read_cifar(data_root, name)
    settings = _settings(CIFAR_RECIPES, recipe, None, arch, seed, epochs)
    content = {"dataset": data, "num_pictures": len(split.train.labels_N)}
    folder = RunFolder(out, _config(recipe, settings, content), resume=resume)
    task = KindTask(split.train, split.num_classes)
    trainer = PictureTrainer(settings, task, folder, evaluate=evaluator_of_kinds(split.test), device=device)
    _run_to_end(trainer, folder, settings)
    last = trainer.history[-1]
    if as_json:
        print_json({"final": folder.final_path, **last})
    else:
        typer.echo(f"{folder.final_path}: loss {last['loss']:.3f}, error on the test part {last['error']:.2%}")


def _add_head(
    release: Release, split: AttributeSplit, out: Path, cache: Path, *, is_changed: bool
) -> tuple[Release, dict[str, float]]:
    if is_changed:
        raise ConfigError(f"--arch, --seed, --epochs and --resume say nothing to recipe '{HEAD}': leave them out")
    network = load_network(read_start(release.folder).checkpoint)

    def embedded(crops: AttributeCrops) -> Any:
        return embed_crops(network, crops.crops, precision="fp32")

    train, test = load_part(split.train, cache), load_part(split.test, cache)
    head = fit_head(embedded(train), train.labels_NA, split.names)
    scores = score_head(head, embedded(test), test.labels_NA)
    out.mkdir(parents=True, exist_ok=True)
    write_json_atomic(out / METRICS_FILE, {"summary": {"last": scores}, "epochs": []})
    return add_attributes(release, out / RELEASE_FOLDER, head, _origin(train, scores)), scores


def _train_attributes(
    settings: PictureSettings, recipe: str, split: AttributeSplit, out: Path, cache: Path, *, device: str, resume: bool
) -> tuple[Release, dict[str, float]]:
    train, val, test = (load_part(part, cache) for part in (split.train, split.val, split.test))
    folder = RunFolder(out, _config(recipe, settings, {"num_pictures": len(train.crops)}), resume=resume)
    evaluate = evaluator_of_attributes(val, split.names)
    trainer = PictureTrainer(settings, AttributeTask(train), folder, evaluate=evaluate, device=device)
    _run_to_end(trainer, folder, settings)
    network = load_network(read_checkpoint(folder.final_path), keep_classifier=True)
    scores = evaluator_of_attributes(test, split.names)(network)
    origin = _origin(train, scores)
    description = ReleaseDescription(
        name=as_release_name(f"attributes_{network.architecture.name}"),
        version="1",
        thresholds=UNCALIBRATED,
        provenance={"data": origin.how, "command": f"osprey-train attributes --recipe {recipe}", **made_now()},
    )
    release = export_release(network, folder.release_path, description, force=True)
    return add_attributes(release, folder.release_path, head_of(network, split.names), origin, force=True), scores


def _origin(train: AttributeCrops, scores: dict[str, float]) -> DescribedBy:
    return DescribedBy(how=f"learned from {len(train.crops)} pictures in the layout of PA-100K", scores=scores)


def _release_of(init: Path | None) -> Release:
    start: Start | None = None if init is None else read_start(init)
    if start is None or start.release is None:
        raise ConfigError(f"recipe '{HEAD}' adds to a release: give its folder with --init")
    return start.release


def _settings(
    recipes: dict[str, Callable[[], PictureSettings]],
    recipe: str,
    init: Path | None,
    arch: str,
    seed: int | None,
    epochs: int | None,
) -> PictureSettings:
    if recipe not in recipes:
        raise ConfigError(f"unknown recipe '{recipe}'; known: {', '.join(recipes)}")
    chosen = {"init": init and str(init), "architecture": arch or None, "seed": seed, "num_epochs": epochs}
    changes = {key: value for key, value in chosen.items() if value is not None}
    settings = recipes[recipe]().model_copy(update=changes)
    if not (settings.init or settings.architecture):
        raise ConfigError(f"recipe '{recipe}' goes on from weights: give them with --init")
    return settings


def _config(recipe: str, settings: PictureSettings, content: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides a run's outcome, as plain values for its `config.json`."""
    return {
        "recipe": recipe,
        "settings": settings.model_dump(mode="json"),
        "data": content,
        "init_sha256": read_start(Path(settings.init)).sha256 if settings.init else "",
    }


def _run_to_end(trainer: PictureTrainer, folder: RunFolder, settings: PictureSettings) -> None:
    """Run, drawing as it goes; leave the process with a word on how to go on if the run was stopped."""
    note = ProgressFile(folder.path, num_epochs=settings.num_epochs, num_steps=trainer.num_steps)
    shown = progress_bar(settings.num_epochs, trainer.num_steps, is_shown=True)
    with stop_on_signals() as stop, shown as show, drawing(folder.path, tensorboard=False) as on_epoch:

        def on_step(epoch: int, step: int, loss: float) -> None:
            show(epoch, step, loss)
            note(epoch, step, loss)

        is_complete = trainer.run(stop, on_step, on_epoch)
    if not is_complete:
        typer.echo(folder.say_stopped(), err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
