"""Commands that score a release on labelled crops: `evaluate` and `calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from reid.cli import AsJson, print_json, transient_bar
from reid.embedder import OnnxEmbedder
from reid.logs import configure_logs
from reid.release import load_release
from train.calibrate import FALSE_MATCH_RATE, calibrate
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import chosen_split, read_split, splits_help
from train.datasets.samples import require_labels
from train.evaluate import Evaluation, OnBatch, SearchSettings, embed_all, evaluate_split
from train.gallery_sheet import draw_gallery_sheet
from train.options import CacheFolder, DataName, DataRoot


class SplitPart(str, Enum):
    """Which part of a split."""

    TEST = "test"
    TRAIN = "train"


ReleaseFolder = Annotated[Path, typer.Option("--release", metavar="DIR", help="Folder of the release.")]
SplitName = Annotated[str, typer.Option("--split", help=f"Which part is the test; else the first of {splits_help()}.")]
Rate = Annotated[float, typer.Option("--rate", min=1e-6, max=0.5, help="Share of pairs of two persons that may match.")]
Part = Annotated[
    SplitPart, typer.Option("--part", help="Identities of which part; never the part that the release trained on.")
]
MultiQuery = Annotated[
    bool, typer.Option("--multi-query", help="All crops of an identity under one camera ask together, as their mean.")
]
PoolTracklets = Annotated[
    bool, typer.Option("--pool-tracklets", help="Tracklet means ask and are searched, instead of single crops.")
]
ReRank = Annotated[bool, typer.Option("--re-rank", help="Re-rank by shared neighbours (Zhong et al., 2017).")]
GallerySheet = Annotated[
    Path | None,
    typer.Option("--gallery-sheet", metavar="FILE.png", help="Draw what some queries found. Shows people."),
]


def evaluate(
    release: ReleaseFolder,
    data_root: DataRoot,
    data: DataName = "market1501",
    split: SplitName = "",
    multi_query: MultiQuery = False,
    pool_tracklets: PoolTracklets = False,
    re_rank: ReRank = False,
    gallery_sheet: GallerySheet = None,
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Search every query of a data set in its gallery: mAP, rank-1, -5, -10 and mINP.

    Example: osprey-train evaluate --release R --data market1501 --data-root market1501 --split 500-251
    """
    configure_logs(level="warning")
    loaded, split = load_release(release), chosen_split(data, split)
    settings = SearchSettings(multi_query=multi_query, pool_tracklets=pool_tracklets, re_rank=re_rank)
    with progress_bar("embedding") as on_batch:
        chosen = read_split(data, data_root, split)
        done = evaluate_split(OnnxEmbedder(loaded), chosen, cache, settings, on_batch=on_batch)
    if gallery_sheet is not None:
        draw_gallery_sheet(gallery_sheet, done)
    figures, counts = _figures(done), _counts(done)
    how = [name.replace("_", "-") for name, is_on in asdict(settings).items() if is_on]
    if as_json:
        task = {"release": str(loaded.ref), "data": data, "split": split, **asdict(settings)}
        print_json({**task, **figures, **counts})
        return
    typer.echo(" ".join([f"{loaded.ref} on {data} {split}", *how]))
    typer.echo("  ".join(f"{name} {value:.1%}" for name, value in figures.items()))
    typer.echo("{num_queries} queries with a match ({num_unmatched} without), gallery {num_gallery}".format(**counts))


def calibrate_release(
    release: ReleaseFolder,
    data_root: DataRoot,
    data: DataName = "market1501",
    split: SplitName = "",
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
    split = chosen_split(data, split)
    chosen = read_split(data, data_root, split)
    samples = chosen.train if part is SplitPart.TRAIN else chosen.query + chosen.gallery
    require_labels(samples)
    crops = load_crops(samples, cache)
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
    with transient_bar() as progress:
        task = progress.add_task(what)
        yield lambda num_done, num_crops: progress.update(task, completed=num_done, total=num_crops)


def _figures(done: Evaluation) -> dict[str, float]:
    scores = done.scores
    return {"mAP": scores.mAP, **{f"R{k}": scores.rank(k) for k in (1, 5, 10)}, "mINP": scores.mINP}


def _counts(done: Evaluation) -> dict[str, int]:
    return {
        "num_queries": done.scores.num_queries,
        "num_unmatched": done.scores.num_unmatched,
        "num_gallery": done.num_gallery,
        "num_skipped": done.num_skipped,
    }
