"""The data sets by name, each with its splits by name; the first split is the one meant when none is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from train.datasets import csv_file, cuhk01, cuhk03, folder, market1501, mars, msmt17, snapshot, viper
from train.datasets.samples import Split
from train.errors import DatasetError

Reader = Callable[[Path], Split]
_NUM_DRAWS = 10

DATASETS: dict[str, Mapping[str, Reader]] = {
    "market1501": {
        "500-251": market1501.read_500_251,
        "all": market1501.read_all,
        "official": market1501.read_official,
        "source-250": market1501.read_source_250,
        "target-250": market1501.read_target_250,
    },
    "msmt17": {"official": msmt17.read_msmt17},
    "cuhk03": {"new-labeled": cuhk03.read_labeled, "new-detected": cuhk03.read_detected},
    "viper": {f"half-{draw}": partial(viper.read_half, seed=draw) for draw in range(1, _NUM_DRAWS + 1)},
    "cuhk01": {f"485-486-{draw}": partial(cuhk01.read_485_486, seed=draw) for draw in range(1, _NUM_DRAWS + 1)},
    "mars": {"tracklets": mars.read_tracklets, "single": mars.read_single},
    "folder": {"all": folder.read_folder},
    "csv": {"all": csv_file.read_all, "test": csv_file.read_test},
    "snapshot": {"all": snapshot.read_all},
}


def splits_help() -> str:
    """The splits of every data set, in one line."""
    return "; ".join(f"{name}: {_summary(splits)}" for name, splits in DATASETS.items())


def chosen_split(dataset: str, split: str) -> str:
    """The split's name; the data set's first if it is empty.

    Raises:
        DatasetError: Either name is unknown.
    """
    if dataset not in DATASETS:
        raise DatasetError(f"unknown data set '{dataset}'; known: {', '.join(DATASETS)}")
    splits = DATASETS[dataset]
    if split and split not in splits:
        raise DatasetError(f"unknown split '{split}' of {dataset}; known: {_summary(splits)}")
    return split or next(iter(splits))


def read_split(dataset: str, root: Path, split: str = "", *, name_pattern: str = "") -> Split:
    """Read a data set by name and split it by name.

    Args:
        dataset: One of `DATASETS`.
        root: Where it lies.
        split: One of its splits; empty for its first.
        name_pattern: For `folder` alone: see `train.datasets.folder`.

    Raises:
        DatasetError: A name is unknown, or the data set is incomplete.
    """
    name = chosen_split(dataset, split)
    if not name_pattern:
        return DATASETS[dataset][name](root)
    if dataset != "folder":
        raise DatasetError(f"{dataset} has names of its own: a pattern for names is for the data set 'folder'")
    return folder.read_folder(root, name_pattern)


def _summary(splits: Mapping[str, Reader]) -> str:
    names = list(splits)
    return ", ".join(names) if len(names) < _NUM_DRAWS else f"{names[0]} … {names[-1]}"
