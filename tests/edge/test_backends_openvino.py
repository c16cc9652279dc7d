from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from releases import tiny_int8_model, with_graphs, write_tiny_release

from edge.backends.openvino import OpenVinoEmbedder, openvino_precisions, openvino_version
from edge.errors import BackendError
from reid.embedder import OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseError, ReleaseMismatchError

needs_openvino = pytest.mark.skipif(openvino_version() == "none", reason="openvino is not installed")


@needs_openvino
@pytest.mark.parametrize("count", [1, 4, 5, 32], ids=lambda count: f"batch-{count}")
def test_every_batch_size_agrees_with_onnxruntime(tiny_release, rng, count):
    crops = rng.integers(0, 256, (count, 256, 128, 3), dtype=np.uint8)
    ours = OpenVinoEmbedder(tiny_release, num_threads=1).embed(crops)
    np.testing.assert_allclose(ours, OnnxEmbedder(tiny_release).embed(crops), atol=1e-5)


@needs_openvino
def test_golden_check_passes_in_every_precision_of_this_machine(tiny_release):
    for precision in openvino_precisions(tiny_release):
        embedder = OpenVinoEmbedder(tiny_release, precision=precision, num_threads=1)
        assert check_golden(embedder, tiny_release) >= tiny_release.manifest.golden_cosine[precision]
        assert (embedder.release, embedder.dim, embedder.precision) == (tiny_release.ref, 8, precision)


@needs_openvino
def test_int8_is_offered_and_runs_if_the_release_has_that_graph(tiny_release):
    assert "int8" not in openvino_precisions(tiny_release)
    release = with_graphs(tiny_release, int8=tiny_int8_model())
    assert openvino_precisions(release)[-1] == "int8"
    assert 0.99 < check_golden(OpenVinoEmbedder(release, precision="int8", num_threads=1), release) < 1


@needs_openvino
def test_embeddings_outlive_the_next_batch(tiny_release):
    embedder, crops = OpenVinoEmbedder(tiny_release, num_threads=1), tiny_release.golden.crops
    first = embedder.embed(crops[:1])
    kept = first.copy()
    embedder.embed(crops[1:])
    np.testing.assert_array_equal(first, kept)


@needs_openvino
def test_a_second_release_is_prepared_beside_the_running_one(tiny_release, tmp_path):
    running = OpenVinoEmbedder(tiny_release, num_threads=1)
    other = write_tiny_release(tmp_path / "other", seed=1)
    prepared = OpenVinoEmbedder(other, num_threads=1)
    for embedder, release in ((running, tiny_release), (prepared, other)):
        assert check_golden(embedder, release) > 0.9999


_DROPPED_ELSEWHERE = """
import os, signal, sys, threading
from pathlib import Path
from edge.backends.openvino import OpenVinoEmbedder
from reid.release import load_release

held = [OpenVinoEmbedder(load_release(Path(sys.argv[1])), num_threads=1)]
dropping = threading.Thread(target=held.clear)
dropping.start()
dropping.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(5)
except KeyboardInterrupt:
    print("stopped in order")
"""


@needs_openvino
def test_ctrl_c_is_heard_after_an_engine_was_dropped_by_another_thread(tiny_release):
    command = [sys.executable, "-c", _DROPPED_ELSEWHERE, str(tiny_release.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "stopped in order\n"), ended.stderr


@needs_openvino
def test_a_crop_cut_out_of_a_larger_array_is_embedded_alike(tiny_release):
    crops = tiny_release.golden.crops
    wide = np.zeros((len(crops), 256, 256, 3), np.uint8)
    wide[:, :, :128] = crops
    embedder = OpenVinoEmbedder(tiny_release, num_threads=1)
    np.testing.assert_allclose(embedder.embed(wide[:, :, :128]), tiny_release.golden.embeddings, atol=1e-5)


@needs_openvino
def test_bad_batches_are_refused_and_an_empty_one_gives_no_rows(tiny_release):
    embedder = OpenVinoEmbedder(tiny_release, num_threads=1)
    assert embedder.embed(np.empty((0, 256, 128, 3), np.uint8)).shape == (0, 8)
    with pytest.raises(EmbeddingError, match=r"wanted uint8 \(N, 256, 128, 3\)"):
        embedder.embed(np.zeros((1, 256, 128, 3), np.float32))
    with pytest.raises(EmbeddingError, match="zero or not finite"):
        embedder.embed(np.zeros((1, 256, 128, 3), np.uint8))


@needs_openvino
def test_a_broken_model_file_is_named(tiny_release):
    tiny_release.model_path.write_bytes(b"junk")
    with pytest.raises(ReleaseError, match=r"model\.onnx cannot be loaded by OpenVINO"):
        OpenVinoEmbedder(tiny_release)


@needs_openvino
def test_a_model_of_another_dimension_than_its_manifest_is_refused(tiny_release):
    other = replace(tiny_release, manifest=tiny_release.manifest.model_copy(update={"dim": 9}))
    with pytest.raises(ReleaseMismatchError, match="puts out 8 numbers, its manifest says 9"):
        OpenVinoEmbedder(other)


def test_a_missing_openvino_is_named_with_the_way_out(tiny_release, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match=r"pip install 'osprey-reid\[openvino\]'"):
        openvino_precisions(tiny_release)
