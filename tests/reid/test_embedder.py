from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from releases import tiny_int8_model, tiny_model, with_graphs

from reid.embedder import OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseError, ReleaseMismatchError
from reid.release import Golden, Release


def crops(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 256, (count, 256, 128, 3), dtype=np.uint8)


def test_batch_and_single_crops_agree(tiny_release: Release, rng: np.random.Generator) -> None:
    embedder = OnnxEmbedder(tiny_release, num_threads=1)
    batch = crops(5, rng)
    together = embedder.embed(batch)
    one_by_one = np.concatenate([embedder.embed(batch[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_an_empty_batch_gives_no_rows(tiny_release: Release) -> None:
    assert OnnxEmbedder(tiny_release).embed(np.empty((0, 256, 128, 3), np.uint8)).shape == (0, 8)


@pytest.mark.parametrize(
    "batch",
    [np.zeros((1, 256, 128, 3), np.float32), np.zeros((1, 3, 256, 128), np.uint8), np.zeros((256, 128, 3), np.uint8)],
    ids=["float", "channels-first", "no-batch"],
)
def test_a_batch_of_another_form_is_refused(tiny_release: Release, batch: np.ndarray) -> None:
    with pytest.raises(EmbeddingError, match=r"wanted uint8 \(N, 256, 128, 3\)"):
        OnnxEmbedder(tiny_release).embed(batch)


def test_a_zero_output_is_an_error_not_a_nan(tiny_release: Release) -> None:
    with pytest.raises(EmbeddingError, match="zero or not finite"):
        OnnxEmbedder(tiny_release).embed(np.zeros((1, 256, 128, 3), np.uint8))


def test_a_broken_model_file_is_named(tiny_release: Release) -> None:
    tiny_release.model_path.write_bytes(b"junk")
    with pytest.raises(ReleaseError, match=r"model\.onnx cannot be loaded"):
        OnnxEmbedder(tiny_release)


def test_a_model_of_another_dimension_than_its_manifest_is_refused(tiny_release: Release) -> None:
    other = replace(tiny_release, manifest=tiny_release.manifest.model_copy(update={"dim": 9}))
    with pytest.raises(ReleaseMismatchError, match="puts out 8 numbers, its manifest says 9"):
        OnnxEmbedder(other)


def test_golden_check_passes_on_what_was_released(tiny_release: Release) -> None:
    assert check_golden(OnnxEmbedder(tiny_release), tiny_release) > 0.9999


def test_golden_check_refuses_an_engine_that_computes_something_else(tiny_release: Release) -> None:
    golden = tiny_release.golden
    tiny_release.__dict__["golden"] = Golden(golden.crops, np.roll(golden.embeddings, 1, axis=1))
    with pytest.raises(ReleaseMismatchError, match="does not compute what was released"):
        check_golden(OnnxEmbedder(tiny_release), tiny_release)


def test_an_int8_graph_is_run_and_checked_against_the_bound_of_int8(tiny_release: Release) -> None:
    release = with_graphs(tiny_release, int8=tiny_int8_model())
    embedder = OnnxEmbedder(release, precision="int8", num_threads=1)
    assert (embedder.precision, embedder.release) == ("int8", tiny_release.ref)
    assert 0.99 < check_golden(embedder, release) < 1
    assert not np.array_equal(embedder.embed(release.golden.crops), release.golden.embeddings)


def test_a_graph_of_other_weights_fails_the_golden_check_of_its_precision(tiny_release: Release) -> None:
    release = with_graphs(tiny_release, int8=tiny_int8_model(seed=1))
    with pytest.raises(ReleaseMismatchError, match=r"in int8, wanted at least 0\.98"):
        check_golden(OnnxEmbedder(release, precision="int8"), release)


def test_a_precision_that_the_release_has_no_graph_of_is_refused(tiny_release: Release) -> None:
    with pytest.raises(ReleaseError, match=r"has no model_int8\.onnx"):
        OnnxEmbedder(tiny_release, precision="int8")


def test_a_graph_of_another_dimension_is_named(tiny_release: Release) -> None:
    release = with_graphs(tiny_release, int8=tiny_model(dim=9))
    with pytest.raises(ReleaseMismatchError, match=r"model_int8\.onnx puts out 9 numbers, its manifest says 8"):
        OnnxEmbedder(release, precision="int8")
