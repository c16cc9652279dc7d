"""Market-1501's training part as a site whose server made a snapshot: 500 people to adapt on, 251 to test on."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT, Outcome, publish
from benchmarks.instruments.retrieval import LabelledPeople
from reid.files import write_folder_atomic
from reid.snapshot import CROPS_FOLDER, Snapshot, SnapshotCrop, write_snapshot
from reid.types import FloatArray, IntArray
from train.checkpoint import load_osnet
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import read_split
from train.datasets.samples import ReidSample, Split, labelled_pids
from train.embed import embed_crops
from train.site import SiteCrops, site_of
from train.start import read_start

DATASET = "market1501"
SPLIT = "500-251"
_FRAME_US = 40_000
_SEQUENCE_US = 10**11
"""Longer than any recording: frames of two recordings are never of one moment."""


@dataclass(frozen=True)
class MarketSite:
    """The people of both parts.

    Attributes:
        samples: What may be adapted on, with labels that are used for nothing but tracklets, which an edge has.
        site: The same as a site knows it.
        test: Who is searched for.
        cache: Folder of decoded crops.
    """

    samples: tuple[ReidSample, ...]
    site: SiteCrops
    test: LabelledPeople
    cache: Path

    @property
    def times_us(self) -> IntArray:
        """(N,) int64 moments of the crops, comparable within a camera."""
        return np.array([time_us_of(sample) for sample in self.samples], dtype=np.int64)


def read_market_site(data_root: Path, cache: Path, *, num_pids: int = 0) -> MarketSite:
    """Read the data set.

    Args:
        data_root: Where it lies.
        cache: Folder of decoded crops.
        num_pids: Only so many people of each part; 0 for all.
    """
    split = read_split(DATASET, data_root, SPLIT)
    if num_pids:
        split = _first_people(split, num_pids)
    cached = load_crops(split.train, cache)
    test = LabelledPeople(load_crops(split.query, cache), load_crops(split.gallery, cache))
    return MarketSite(cached.samples, site_of(cached), test, cache)


def all_rows(market: MarketSite) -> IntArray:
    """Rows of all crops that may be adapted on."""
    return np.arange(len(market.samples), dtype=np.int64)


def time_us_of(sample: ReidSample) -> int:
    """When a crop was seen, as if every recording began long after the one before."""
    return sample.sequence * _SEQUENCE_US + sample.frame * _FRAME_US


def embed_site(site: SiteCrops, release: Path) -> FloatArray:
    """Embeddings of a site's crops by a release: (N, D) float32, unit norm."""
    return embed_crops(load_osnet(read_start(release).checkpoint), site.crops)


def write_market_snapshot(folder: Path, market: MarketSite, rows: IntArray, *, parent: str) -> None:
    """Write the chosen crops as a snapshot to train on; nothing is held out, since others are the test.

    Args:
        folder: Appears whole; one that is there stays as it is.
        market: The site.
        rows: The chosen crops.
        parent: Space that they were chosen in.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with write_folder_atomic(folder) as temporary:
        (temporary / CROPS_FOLDER).mkdir()
        crops = tuple(_copied(market, int(row), temporary) for row in rows)
        tracklets = [crop.tracklet for crop in crops]
        apart = market.site.apart[np.isin(market.site.apart, tracklets).all(axis=1)]
        cameras = tuple(("market", f"c{camid}") for camid in range(1, int(market.site.camids.max()) + 1))
        write_snapshot(
            Snapshot(temporary, parent, 0, cameras, crops, apart, np.empty((0, 2), np.int64), {"site": DATASET})
        )


def _copied(market: MarketSite, row: int, folder: Path) -> SnapshotCrop:
    sample = market.samples[row]
    path = f"{CROPS_FOLDER}/{sample.path.name}"
    shutil.copyfile(sample.path, folder / path)
    return SnapshotCrop(path, sample.camid, int(market.site.tracklets[row]), time_us_of(sample), 1.0, "train")


def _first_people(split: Split, num_pids: int) -> Split:
    def only(samples: Sequence[ReidSample], pids: set[int]) -> tuple[ReidSample, ...]:
        return tuple(sample for sample in samples if sample.pid in pids)

    to_train, to_test = (set(labelled_pids(part)[:num_pids]) for part in (split.train, split.query))
    return Split(only(split.train, to_train), only(split.query, to_test), only(split.gallery, to_test))


def add_market_flags(parser: ArgumentParser, name: str) -> None:
    """Flags of benchmarks that adapt on Market-1501: where things lie, and how to adapt."""
    data = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / name, help="folder of the runs")
    parser.add_argument("--data", type=Path, default=data / "market1501_train", help="where Market-1501 lies")
    parser.add_argument("--checkpoint", type=Path, default=data / "osnet_x0_25" / "osnet_x0_25_msmt17.pth")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of decoded crops")
    parser.add_argument("--method", default="ise-plus", help="recipe of 'osprey-train adapt'")


def why_not(name: str, chosen: Namespace) -> str:
    """What is missing for a run, or nothing; the short form then passes with no figures.

    Raises:
        SystemExit: Something is missing for the full form.
    """
    missing = [path for path in (chosen.data, chosen.checkpoint) if not path.exists()]
    if not missing:
        return ""
    reason = f"no {missing[0]}: set OSPREY_DATA, or --data and --checkpoint"
    if not chosen.quick:
        raise SystemExit(reason)
    print(f"skipped: {reason}", file=sys.stderr)
    publish(name, Outcome(figures={}, details={}), quick=True)
    return reason
