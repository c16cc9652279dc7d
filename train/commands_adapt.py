"""The command `adapt`: fit an OSNet to a site, or to a data set whose labels are not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reid.cli import EXIT_INTERRUPTED, print_json
from reid.errors import ConfigError
from reid.logs import configure_logs
from reid.metrics import score_embeddings
from train.adapt import Adapter, AdaptSettings, OnStep, SiteCrops
from train.commands_supervised import stop_on_signals
from train.crop_cache import DEFAULT_CACHE, CachedCrops, load_crops
from train.datasets import READERS, SPLITS, Split, camids_of, pids_of, read_split, tracklets_of
from train.embed import embed_crops
from train.evaluate import labels_of
from train.memory import unit_means
from train.methods.ise import IseConfig, extend, extension_strength
from train.osnet import OSNet
from train.plots import draw_curves, draw_projection
from train.pseudo_labels import neighbouring_clusters
from train.recipes.adaptation import cluster_contrast, ise, ise_market, ise_plus
from train.run_folder import RunFolder
from train.speed import restart_with_fast_malloc

RECIPES: dict[str, Callable[[], AdaptSettings]] = {
    "cluster-contrast": cluster_contrast,
    "ise": ise,
    "ise-plus": ise_plus,
    "ise-market": ise_market,
}

_PROJECTED_CLUSTERS = 10


def adapt(
    init: Annotated[Path, typer.Option("--init", metavar="CKPT", help="Checkpoint to start from.")],
    data_root: Annotated[Path, typer.Option("--data-root", metavar="DIR", help="Where the data set lies.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run; a broken-off run goes on.")],
    method: Annotated[str, typer.Option("--method", help=f"One of: {', '.join(RECIPES)}.")] = "ise",
    arch: Annotated[str, typer.Option("--arch", help="Of a public checkpoint, for example osnet_x0_25.")] = "",
    data: Annotated[str, typer.Option("--data", help=f"Data set: {', '.join(READERS)}.")] = "market1501",
    split: Annotated[str, typer.Option("--split", help=f"Which part adapts: {', '.join(SPLITS)}.")] = "500-251",
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    cache: Annotated[
        Path, typer.Option("--cache", metavar="DIR", help="Where decoded crops are kept.")
    ] = DEFAULT_CACHE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON at the end.")] = False,
) -> None:
    """Adapt an OSNet without labels: cluster, contrast against the clusters, repeat.

    The folder gets final.pt, metrics.jsonl, curves.png and, for ISE, projection.png.

    Labels of the data set, where it has any, are used to report only. Ctrl-C stops; the same command goes on from the
    last finished epoch, to the same losses.

    Example: osprey-train adapt --method ise --init osnet_x0_25_msmt17.pth --arch osnet_x0_25 --data-root market1501
    --out runs/site
    """
    restart_with_fast_malloc()
    configure_logs()
    settings = _settings(method, init=str(init), architecture=arch, seed=seed, num_epochs=epochs)
    chosen = read_split(data, data_root, split)
    crops = load_crops(chosen.train, cache)
    config = {"method": method, "settings": settings.model_dump(mode="json"), "data": {"dataset": data, "split": split}}
    folder = RunFolder(out, config)
    adapter = Adapter(settings, site_of(crops), folder, evaluate=_evaluator(chosen, cache), device=device)
    with stop_on_signals() as stop, _progress_bar(settings) as on_step:
        is_complete = adapter.run(stop, on_step)
    draw_curves(out / "curves.png", adapter.history)
    if is_complete and isinstance(settings.method, IseConfig):
        _draw_supports(out / "projection.png", adapter, settings.method)
    _report(adapter, folder, is_complete=is_complete, as_json=as_json)


def site_of(crops: CachedCrops) -> SiteCrops:
    """Crops of a data set as those of a site: who is on them is kept apart, for reporting."""
    tracklets = np.empty(len(crops.samples), dtype=np.int64)
    for number, rows in enumerate(tracklets_of(crops.samples)):
        tracklets[list(rows)] = number
    return SiteCrops(
        crops=crops.crops, camids=camids_of(crops.samples), tracklets=tracklets, pids=pids_of(crops.samples)
    )


def _settings(method: str, **changes: Any) -> AdaptSettings:
    if method not in RECIPES:
        raise ConfigError(f"unknown method '{method}'; known: {', '.join(RECIPES)}")
    return RECIPES[method]().model_copy(update={key: value for key, value in changes.items() if value is not None})


def _evaluator(split: Split, cache: Path) -> Callable[[OSNet], dict[str, float]] | None:
    """Scores on the split's test part; None where it has none."""
    if not split.query:
        return None
    query, gallery = load_crops(split.query, cache), load_crops(split.gallery, cache)

    def evaluate(network: OSNet) -> dict[str, float]:
        query_QD, gallery_GD = (embed_crops(network, part.crops, precision="fp32") for part in (query, gallery))
        scores = score_embeddings(query_QD, gallery_GD, labels_of(query), labels_of(gallery))
        return {"mAP": scores.mAP, **{f"R{k}": scores.rank(k) for k in (1, 5, 10)}}

    return evaluate


def _draw_supports(path: Path, adapter: Adapter, config: IseConfig) -> None:
    """Draw neighbouring clusters with their supports at the strength of the run's end."""
    feats = adapter.embed()
    labels = adapter.cluster(feats).labels_N
    near, near_labels = neighbouring_clusters(feats, labels, count=_PROJECTED_CLUSTERS)
    strength = config.direction_scale * extension_strength(config.extension, 1.0)
    tensors = torch.from_numpy(near), torch.from_numpy(near_labels)
    supports, support_labels = extend(*tensors, unit_means(*tensors), strength=strength)
    draw_projection(path, near, near_labels, supports.numpy(), support_labels.numpy())


def _report(adapter: Adapter, folder: RunFolder, *, is_complete: bool, as_json: bool) -> None:
    if not is_complete:
        typer.echo(f"stopped; the same command goes on from {folder.path}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    last = adapter.history[-1]
    if as_json:
        print_json({"final": folder.final_path, **last})
        return
    scores = "".join(f", {name} {last[name]:.1%}" for name in ("mAP", "R1", "R5") if name in last)
    typer.echo(f"{folder.final_path}: loss {last['loss']:.3f}, {last['num_clusters']} clusters{scores}")


@contextmanager
def _progress_bar(settings: AdaptSettings) -> Iterator[OnStep]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=settings.num_epochs * settings.num_iterations)

        def on_step(epoch: int, step: int, loss: float) -> None:
            description = f"epoch {epoch}/{settings.num_epochs}  loss {loss:.3f}"
            progress.update(task, description=description, completed=(epoch - 1) * settings.num_iterations + step)

        yield on_step
