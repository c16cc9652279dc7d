from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_dataset import people_in_memory, write_people

from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.splits import split_all
from train.errors import DatasetError
from train.source import read_source, source_of


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_people(tmp_path / "data", num_pids=3, num_crops=2)
    monkeypatch.setitem(DATASETS, "market1501", {"all": lambda path: split_all(read_market_folder(path))})
    return tmp_path / "data"


def test_identities_are_numbered_without_gaps() -> None:
    people = people_in_memory(num_pids=4, num_crops=2)
    source = source_of(people)
    assert source.num_ids == 4
    np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(source.camids, [1, 2] * 4)


def test_distractors_are_no_persons_to_learn_from(root: Path, tmp_path: Path) -> None:
    (root / "0001_c1s1_000000_01.jpg").rename(root / "0000_c1s1_000000_01.jpg")
    source = read_source("market1501", root, "", tmp_path / "cache")
    assert (len(source.crops), source.num_ids) == (5, 3)


def test_a_source_needs_two_persons(root: Path, tmp_path: Path) -> None:
    for path in (*root.glob("0002*"), *root.glob("0003*")):
        path.unlink()
    with pytest.raises(DatasetError, match=r"market1501 all in .* has fewer than two labelled persons"):
        read_source("market1501", root, "", tmp_path / "cache")
