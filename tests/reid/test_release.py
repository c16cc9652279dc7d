from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from releases import tiny_int8_model, tiny_model, with_graphs

from reid.errors import ConfigError, ReleaseError, ReleaseMismatchError
from reid.release import (
    ALIGNMENT_FILE,
    MODEL_FILES,
    TRAINABLE_FILE,
    Release,
    load_release,
    space_id,
    write_alignment,
    write_release,
)
from reid.types import FloatArray


def edit_manifest(release: Release, change: Callable[[dict[str, Any]], object]) -> Path:
    path = release.folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return release.folder


def test_a_sealed_release_loads(tiny_release: Release) -> None:
    again = load_release(tiny_release.folder)
    assert again.manifest == tiny_release.manifest
    assert str(again.ref) == "tiny 1 (tiny-1-0)"


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "golden.npz"])
def test_an_altered_file_is_refused_by_name(tiny_release: Release, name: str) -> None:
    path = tiny_release.folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ReleaseMismatchError, match=rf"{name} was altered or damaged"):
        load_release(tiny_release.folder)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "golden.npz", "manifest.json"])
def test_a_missing_file_is_refused_by_name(tiny_release: Release, name: str) -> None:
    (tiny_release.folder / name).unlink()
    with pytest.raises(ReleaseError, match=name):
        load_release(tiny_release.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), "release format 2, this Osprey reads format 1"),
        (lambda m: m.update(spcae="x"), "unknown key 'spcae': did you mean 'space'"),
        (lambda m: m.update(interpolation="bicubic"), "interpolation"),
        (lambda m: m.update(dim=0), "dim"),
        (lambda m: m["sha256"].pop("golden.npz"), r"has no sha256 for golden\.npz"),
        (lambda m: m["thresholds"].update(match=1.5), r"thresholds\.match"),
    ],
    ids=["format", "unknown-key", "interpolation", "dim", "hash-missing", "threshold"],
)
def test_a_bad_manifest_says_what_is_wrong(
    tiny_release: Release, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ReleaseError, match=message):
        load_release(edit_manifest(tiny_release, change))


def test_a_manifest_that_is_no_json_is_named(tiny_release: Release) -> None:
    (tiny_release.folder / "manifest.json").write_bytes(b"\xff{")
    with pytest.raises(ReleaseError, match=r"manifest\.json is not readable as JSON"):
        load_release(tiny_release.folder)


def test_golden_embeddings_of_another_size_are_refused(tiny_release: Release) -> None:
    other = Release(tiny_release.folder, tiny_release.manifest.model_copy(update={"dim": 9}))
    with pytest.raises(ReleaseMismatchError, match=r"golden\.npz: shapes"):
        _ = other.golden


def test_an_incomplete_folder_is_not_sealed(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"model\.onnx, weights\.safetensors, golden\.npz missing"):
        write_release(tmp_path, {})


def test_an_invalid_manifest_is_not_written(tiny_release: Release) -> None:
    (tiny_release.folder / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="name: Field required"):
        write_release(tiny_release.folder, {"version": "1"})
    assert not (tiny_release.folder / "manifest.json").exists()


def test_space_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert space_id("n", "1", tmp_path / "a") != space_id("n", "1", tmp_path / "b")


def test_golden_crops_come_back(tiny_release: Release) -> None:
    assert tiny_release.golden.crops.dtype == np.uint8
    assert tiny_release.golden.embeddings.shape == (2, 8)


@pytest.fixture
def trainable_release(tiny_release: Release) -> Release:
    """The same, sealed with the weights to train further from."""
    (tiny_release.folder / TRAINABLE_FILE).write_bytes(b"weights before folding")
    return write_release(tiny_release.folder, tiny_release.manifest.model_dump(exclude={"sha256"}))


def test_trainable_weights_are_sealed_with_the_release(trainable_release: Release) -> None:
    assert TRAINABLE_FILE in trainable_release.manifest.sha256
    assert load_release(trainable_release.folder).trainable_path.read_bytes() == b"weights before folding"


def test_altered_trainable_weights_are_refused(trainable_release: Release) -> None:
    trainable_release.trainable_path.write_bytes(b"others")
    with pytest.raises(ReleaseMismatchError, match=r"trainable\.safetensors was altered or damaged"):
        load_release(trainable_release.folder)


def test_trainable_weights_that_the_manifest_does_not_know_are_refused(tiny_release: Release) -> None:
    (tiny_release.folder / TRAINABLE_FILE).write_bytes(b"from somewhere")
    with pytest.raises(ReleaseMismatchError, match=r"no sha256 for trainable\.safetensors"):
        load_release(tiny_release.folder)


def test_a_release_handed_on_without_trainable_weights_loads_and_says_so_when_asked(trainable_release: Release) -> None:
    trainable_release.trainable_path.unlink()
    with pytest.raises(ReleaseError, match=r"cannot be trained further: it has no trainable\.safetensors"):
        _ = load_release(trainable_release.folder).trainable_path


@pytest.fixture
def release_of_three(tiny_release: Release) -> Release:
    """The same with graphs in fp16 and int8."""
    return with_graphs(tiny_release, fp16=tiny_model(), int8=tiny_int8_model())


def test_a_release_has_the_graphs_that_came_with_it(tiny_release: Release) -> None:
    assert tiny_release.precisions == ("fp32",)
    assert tiny_release.model_path_in("bf16") == tiny_release.model_path_in("fp32") == tiny_release.model_path


def test_more_graphs_are_sealed_with_a_release_and_its_space_stays(
    tiny_release: Release, release_of_three: Release
) -> None:
    assert load_release(release_of_three.folder).precisions == ("fp32", "fp16", "int8")
    assert set(MODEL_FILES.values()) <= set(release_of_three.manifest.sha256)
    assert release_of_three.ref == tiny_release.ref


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_altered_graph_is_refused_whatever_its_precision(release_of_three: Release, precision: Any) -> None:
    release_of_three.model_path_in(precision).write_bytes(b"others")
    with pytest.raises(ReleaseMismatchError, match=rf"model_{precision}\.onnx was altered or damaged"):
        load_release(release_of_three.folder)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_release_handed_on_without_a_graph_loads_and_says_so_when_asked(
    release_of_three: Release, precision: Any
) -> None:
    release_of_three.model_path_in(precision).unlink()
    handed_on = load_release(release_of_three.folder)
    assert precision not in handed_on.precisions
    with pytest.raises(ReleaseError, match=rf"has no model_{precision}\.onnx; .* 'osprey-train quantise --precision"):
        handed_on.model_path_in(precision)


def aligned(release: Release, matrix: FloatArray, *, parent: str | None = "tiny-0-0") -> Release:
    """The release sealed again, with an alignment to a parent."""
    write_alignment(release.folder, matrix)
    values = release.manifest.model_dump(exclude={"sha256"})
    return write_release(release.folder, {**values, "parent": parent})


def test_a_release_gives_the_map_from_its_parents_space(tiny_release: Release) -> None:
    assert tiny_release.alignment is None
    matrix = np.roll(np.eye(8, dtype=np.float32), 1, axis=0)
    found = aligned(tiny_release, matrix).alignment
    assert found is not None
    assert np.array_equal(found, matrix)


@pytest.mark.parametrize(
    ("matrix", "named"),
    [(2 * np.eye(8), "not orthogonal"), (np.eye(4), "shape"), (np.full((8, 8), np.nan), "not orthogonal")],
    ids=["scaled", "of another dimension", "nan"],
)
def test_a_map_that_bends_similarities_is_refused(tiny_release: Release, matrix: FloatArray, named: str) -> None:
    with pytest.raises(ReleaseMismatchError, match=named):
        _ = aligned(tiny_release, matrix).alignment


def test_an_alignment_without_a_parent_or_content_is_refused(tiny_release: Release) -> None:
    with pytest.raises(ReleaseMismatchError, match="manifest names none"):
        _ = aligned(tiny_release, np.eye(8, dtype=np.float32), parent=None).alignment
    (tiny_release.folder / ALIGNMENT_FILE).write_bytes(b"no archive")
    release = write_release(
        tiny_release.folder, {**tiny_release.manifest.model_dump(exclude={"sha256"}), "parent": "p"}
    )
    with pytest.raises(ReleaseMismatchError, match="holds no alignment"):
        _ = release.alignment
