"""Published sizes of data sets, and the check against them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from train.datasets.samples import ReidSample, Split, labelled_pids
from train.errors import DatasetError


class Counts(NamedTuple):
    """Size of a part of a data set; identities are persons: neither junk nor distractors."""

    num_crops: int
    num_pids: int


class SplitCounts(NamedTuple):
    """Sizes of the three parts of a split."""

    train: Counts
    query: Counts
    gallery: Counts


def check_counts(samples: Sequence[ReidSample], wanted: Counts, *, name: str) -> None:
    """Refuse an incomplete data set.

    Raises:
        DatasetError: Crops or identities are not as many as published.
    """
    came = Counts(num_crops=len(samples), num_pids=len(labelled_pids(samples)))
    if came != wanted:
        raise DatasetError(
            f"{name}: {came.num_crops} crops of {came.num_pids} identities, wanted {wanted.num_crops} of "
            f"{wanted.num_pids}; the copy is incomplete or holds other files"
        )


def check_split(split: Split, wanted: SplitCounts, *, name: str) -> None:
    """Refuse a split whose parts have other sizes than published.

    Raises:
        DatasetError: As `check_counts`, naming the part.
    """
    for part, samples, counts in zip(split._fields, split, wanted, strict=True):
        check_counts(samples, counts, name=f"{name}, {part}")
