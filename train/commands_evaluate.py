"""Commands that score a release on labelled crops: `evaluate` and `calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reid.cli import print_json
from reid.embedder import OnnxEmbedder
from reid.logs import configure_logs
from reid.release import load_release
from train.calibrate import FALSE_MATCH_RATE, calibrate
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets import READERS, SPLITS, read_split
from train.evaluate import OnBatch, embed_all, evaluate_split


class SplitPart(str, Enum):
    """Which part of a split."""

    TEST = "test"
    TRAIN = "train"


ReleaseFolder = Annotated[Path, typer.Option("--release", metavar="DIR", help="Folder of the release.")]
DataName = Annotated[str, typer.Option("--data", help=f"Data set: {', '.join(READERS)}.")]
DataRoot = Annotated[Path, typer.Option("--data-root", metavar="DIR", help="Where the data set lies.")]
SplitName = Annotated[str, typer.Option("--split", help=f"Which part is the test: {', '.join(SPLITS)}.")]
CacheFolder = Annotated[Path, typer.Option("--cache", metavar="DIR", help="Where decoded crops are kept.")]
Rate = Annotated[float, typer.Option("--rate", min=1e-6, max=0.5, help="Share of pairs of two persons that may match.")]
Part = Annotated[
    SplitPart, typer.Option("--part", help="Identities of which part; never the part that the release trained on.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def evaluate(
    release: ReleaseFolder,
    data_root: DataRoot,
    data: DataName = "market1501",
    split: SplitName = "500-251",
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Search every query of a data set in its gallery: mAP, rank-1, -5, -10 and mINP.

    Example: osprey-train evaluate --release R --data market1501 --data-root market1501 --split 500-251
    """
    configure_logs(level="warning")
    loaded = load_release(release)
    with progress_bar("embedding") as on_batch:
        done = evaluate_split(OnnxEmbedder(loaded), read_split(data, data_root, split), cache, on_batch=on_batch)
    scores = done.scores
    figures = {"mAP": scores.mAP, **{f"R{k}": scores.rank(k) for k in (1, 5, 10)}, "mINP": scores.mINP}
    counts = {
        "num_queries": scores.num_queries,
        "num_unmatched": scores.num_unmatched,
        "num_gallery": done.num_gallery,
        "num_skipped": done.num_skipped,
    }
    if as_json:
        print_json({"release": str(loaded.ref), "data": data, "split": split, **figures, **counts})
        return
    typer.echo(f"{loaded.ref} on {data} {split}")
    typer.echo("  ".join(f"{name} {value:.1%}" for name, value in figures.items()))
    typer.echo(
        f"{scores.num_queries} queries with a match ({scores.num_unmatched} without), gallery {done.num_gallery}"
    )


def calibrate_release(
    release: ReleaseFolder,
    data_root: DataRoot,
    data: DataName = "market1501",
    split: SplitName = "500-251",
    part: Part = SplitPart.TEST,
    rate: Rate = FALSE_MATCH_RATE,
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Find the similarity from which on two tracklets are one person, at a fixed false-match rate.

    Use identities that the release was not trained on; put the outcome into a release with 'export --match-threshold'.

    Example: osprey-train calibrate --release R --data-root market1501 --split 500-251 --part test --rate 0.001
    """
    configure_logs(level="warning")
    loaded = load_release(release)
    chosen = read_split(data, data_root, split)
    crops = load_crops(chosen.train if part is SplitPart.TRAIN else chosen.query + chosen.gallery, cache)
    with progress_bar("embedding") as on_batch:
        embeddings = embed_all(OnnxEmbedder(loaded), crops.crops, on_batch=on_batch)
    found = calibrate(embeddings, crops.samples, rate=rate)
    if as_json:
        print_json({"release": str(loaded.ref), "data": data, "split": split, "part": part.value, **asdict(found)})
        return
    typer.echo(
        f"{loaded.ref} on {data} {split} {part.value}: {found.num_tracklets} tracklets of {found.num_pids} persons"
    )
    for name, threshold in (("tracklets", found.tracklets), ("single crops", found.crops)):
        typer.echo(
            f"{name}: similarity {threshold.similarity:.4f} at false-match rate {threshold.false_match_rate:.2e}; "
            f"{threshold.true_match_rate:.1%} of cross-camera pairs of one person match"
        )


@contextmanager
def progress_bar(what: str) -> Iterator[OnBatch]:
    """A bar on stderr that vanishes when done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda num_done, num_crops: progress.update(task, completed=num_done, total=num_crops)
