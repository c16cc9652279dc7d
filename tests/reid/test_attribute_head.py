from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from releases import DIM

from reid.attributes import Attribute, AttributeHead, likely_attributes, read_attributes, write_attributes
from reid.errors import ReleaseMismatchError
from reid.release import ATTRIBUTES_FILE, Release, load_release, write_release

HEAD = AttributeHead(("Hat", "Bag"), np.array([[2, 0], [0, -2]], np.float32), np.array([0, 1], np.float32))


def sealed_with_head(release: Release, dim: int = DIM) -> Release:
    head = AttributeHead(("Hat",), np.ones((1, dim), np.float32), np.zeros(1, np.float32))
    write_attributes(release.folder / ATTRIBUTES_FILE, head)
    return write_release(release.folder, release.manifest.model_dump(exclude={"sha256"}))


def test_probabilities_are_those_of_a_logistic_head() -> None:
    embeddings = np.array([[1, 0], [0, 1]], np.float32)
    by_hand = 1 / (1 + np.exp([[-2.0, -1.0], [0.0, 1.0]]))
    assert HEAD.probabilities(embeddings) == pytest.approx(by_hand, abs=1e-6)


def test_extreme_logits_stay_within_bounds() -> None:
    head = AttributeHead(("Hat",), np.full((1, 1), 1e30, np.float32), np.zeros(1, np.float32))
    assert head.probabilities(np.array([[1], [-1]], np.float32)).tolist() == [[1], [0]]


def test_views_of_a_person_are_averaged_and_the_likeliest_attribute_comes_first() -> None:
    found = HEAD.of_person(np.array([[1, 0], [0, 1]], np.float32))
    assert [attribute.name for attribute in found] == ["Hat", "Bag"]
    assert found[0].probability == pytest.approx((0.880797 + 0.5) / 2, abs=1e-5)
    assert HEAD.of_person(np.empty((0, 2), np.float32)) == ()


def test_what_is_likely_is_named_in_order() -> None:
    assert likely_attributes([Attribute("Hat", 0.9), Attribute("Bag", 0.5), Attribute("Skirt", 0.49)]) == ["Hat", "Bag"]


def test_a_head_follows_its_embeddings_into_another_space() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0].astype(np.float32)
    embeddings = rng.standard_normal((5, 2)).astype(np.float32)
    moved = HEAD.moved(turn).probabilities(embeddings @ turn)
    assert moved == pytest.approx(HEAD.probabilities(embeddings), abs=1e-5)


def test_a_head_survives_its_file(tmp_path: Path) -> None:
    write_attributes(tmp_path / ATTRIBUTES_FILE, HEAD)
    read = read_attributes(tmp_path / ATTRIBUTES_FILE, dim=2)
    assert read.names == HEAD.names
    assert (read.weight_AD.tolist(), read.bias_A.tolist()) == (HEAD.weight_AD.tolist(), HEAD.bias_A.tolist())


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (AttributeHead(("Hat",), np.ones((1, 3), np.float32), np.zeros(1, np.float32)), "wanted"),
        (AttributeHead(("Hat",), np.full((1, 2), np.nan, np.float32), np.zeros(1, np.float32)), "not finite"),
        (AttributeHead(("Hat", "Hat"), np.ones((2, 2), np.float32), np.zeros(2, np.float32)), "need names"),
    ],
    ids=["of another dimension", "diverged", "one name twice"],
)
def test_a_head_that_cannot_be_used_is_refused(tmp_path: Path, head: AttributeHead, message: str) -> None:
    write_attributes(tmp_path / ATTRIBUTES_FILE, head)
    with pytest.raises(ReleaseMismatchError, match=message):
        read_attributes(tmp_path / ATTRIBUTES_FILE, dim=2)


def test_a_file_that_holds_no_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / ATTRIBUTES_FILE).write_bytes(b"no archive")
    with pytest.raises(ReleaseMismatchError, match="holds no attribute head"):
        read_attributes(tmp_path / ATTRIBUTES_FILE, dim=2)


def test_a_release_carries_its_head_under_its_manifest(tiny_release: Release) -> None:
    assert tiny_release.attributes is None
    sealed = sealed_with_head(tiny_release)
    assert sealed.attributes is not None
    assert sealed.attributes.names == ("Hat",)
    (tiny_release.folder / ATTRIBUTES_FILE).write_bytes(b"from somewhere")
    with pytest.raises(ReleaseMismatchError, match="altered or damaged"):
        load_release(tiny_release.folder)


def test_a_release_refuses_a_head_of_another_dimension(tiny_release: Release) -> None:
    with pytest.raises(ReleaseMismatchError, match="attribute head of shapes"):
        _ = sealed_with_head(tiny_release, dim=3).attributes
