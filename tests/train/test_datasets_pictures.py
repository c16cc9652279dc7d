from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from fakes_pictures import ATTRIBUTES, write_cifar, write_pa100k
from scipy.io import loadmat, savemat

from train.datasets.cifar import CifarName, read_cifar
from train.datasets.pa100k import load_part, read_pa100k
from train.errors import DatasetError


def test_pa100k_is_read_with_names_parts_and_labels(tmp_path: Path) -> None:
    labels = write_pa100k(tmp_path)
    split = read_pa100k(tmp_path)
    assert split.names == ATTRIBUTES
    assert [len(part.paths) for part in (split.train, split.val, split.test)] == [12, 6, 6]
    assert np.array_equal(split.train.labels_NA, labels["train"])
    assert split.test.paths[0].name == "test000000.jpg"


def test_a_part_of_a_single_picture_is_read(tmp_path: Path) -> None:
    write_pa100k(tmp_path, num_train=1)
    assert read_pa100k(tmp_path).train.labels_NA.shape == (1, 3)


def test_labels_stay_with_their_pictures_where_some_are_damaged(tmp_path: Path) -> None:
    labels = write_pa100k(tmp_path, num_train=110)["train"]
    split = read_pa100k(tmp_path)
    split.train.paths[5].write_bytes(b"damaged")
    crops = load_part(split.train, tmp_path / "cache")
    assert np.array_equal(crops.labels_NA, np.delete(labels, 5, axis=0))
    assert len(crops.crops) == 109


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_pa100k(tmp_path)
    next(iter((tmp_path / "release_data").rglob("val*0.jpg"))).unlink()
    with pytest.raises(DatasetError, match="names val000000"):
        read_pa100k(tmp_path)


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_pa100k(tmp_path)
    path = tmp_path / "annotation" / "annotation.mat"
    values = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    savemat(path, values | {"val_label": np.zeros((2, 2))})
    with pytest.raises(DatasetError, match=r"val_label is \(2, 2\), wanted \(6, 3\)"):
        read_pa100k(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "holds no annotation"), (b"no Matlab file", "cannot be read as a Matlab file")],
    ids=["missing", "damaged"],
)
def test_an_annotation_that_cannot_be_used_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    write_pa100k(tmp_path)
    annotation = tmp_path / "annotation" / "annotation.mat"
    annotation.unlink() if content is None else annotation.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_pa100k(tmp_path)


@pytest.mark.parametrize(("name", "num_train", "num_classes"), [("cifar10", 40, 10), ("cifar100", 8, 100)])
def test_cifar_batches_become_bgr_pictures(tmp_path: Path, name: CifarName, num_train: int, num_classes: int) -> None:
    written = write_cifar(tmp_path, name)
    split = read_cifar(tmp_path, name)
    assert split.num_classes == num_classes
    assert split.train.pictures.shape == (num_train, 32, 32, 3)
    first = next(iter(written.values()))[0]
    red, green, blue = (int(first[plane * 1024]) for plane in range(3))
    assert split.train.pictures[0, 0, 0].tolist() == [blue, green, red]
    assert split.test.labels_N.tolist() == [0, 1] * 4


def test_the_folder_of_the_batches_may_be_given_itself(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar100")
    assert len(read_cifar(tmp_path / "cifar-100-python", "cifar100").test.labels_N) == 8


class Hostile:
    """Runs a command where a pickle is trusted."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_batch_that_wants_to_run_code_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar100")
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps(Hostile(tmp_path / "mark")))
    with pytest.raises(DatasetError, match="is no CIFAR batch"):
        read_cifar(tmp_path, "cifar100")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no pickle", "is no CIFAR batch"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8)}), "holds no pictures with classes"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"fine_labels": [0, 1]}), "wanted uint8"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [100]}), "classes 0 to 99"),
    ],
    ids=["no pickle", "a list", "no classes", "another size", "a class too high"],
)
def test_a_damaged_batch_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    write_cifar(tmp_path, "cifar100")
    (tmp_path / "cifar-100-python" / "test").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_cifar(tmp_path, "cifar100")


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="data_batch_1"):
        read_cifar(tmp_path, "cifar10")
