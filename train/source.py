"""Labelled crops of a source data set, as methods that carry what they know over to a site want them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reid.types import IntArray, UInt8Array
from train.crop_cache import CachedCrops, load_crops
from train.datasets.registry import chosen_split, read_split
from train.datasets.samples import DISTRACTOR_PID, camids_of, class_labels, pids_of, require_labels
from train.errors import DatasetError


@dataclass(frozen=True)
class SourceCrops:
    """Crops that say who is on them.

    Attributes:
        crops: uint8 (N, 256, 128, 3) BGR.
        labels: (N,) int64 identities, numbered from 0 without gaps.
        camids: (N,) int64.
    """

    crops: UInt8Array
    labels: IntArray
    camids: IntArray

    @property
    def num_ids(self) -> int:
        """Identities."""
        return int(self.labels.max()) + 1


def source_of(cached: CachedCrops) -> SourceCrops:
    """Crops of persons with labels: those of a data set's training part, for example."""
    return SourceCrops(
        crops=cached.crops, labels=class_labels(pids_of(cached.samples)), camids=camids_of(cached.samples)
    )


def read_source(dataset: str, root: Path, split: str, cache: Path) -> SourceCrops:
    """Read the persons of a data set's training part.

    Args:
        dataset: Its name.
        root: Where it lies.
        split: One of its splits; empty for its first.
        cache: Folder of the crop cache.

    Raises:
        DatasetError: A name is unknown, or the data set is incomplete, lacks labels, or shows fewer than two persons.
    """
    samples = read_split(dataset, root, split).train
    require_labels(samples)
    persons = [sample for sample in samples if sample.pid > DISTRACTOR_PID]
    if len({sample.pid for sample in persons}) < 2:
        raise DatasetError(
            f"{dataset} {chosen_split(dataset, split)} in {root} has fewer than two labelled persons to train on: "
            "a source needs a training part, give another --source-split"
        )
    return source_of(load_crops(persons, cache))
