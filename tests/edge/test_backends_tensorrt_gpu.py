"""Real engines on a real GPU: what the fakes cannot prove. Run with `pytest -m gpu`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from edge.backends.cuda.bindings import BindingsCuda
from edge.backends.cuda.pycuda import PyCuda
from edge.backends.tensorrt.embedder import SIZES, Gpu, find_gpu, open_tensorrt_embedder
from edge.errors import BackendError
from reid.embedder import OnnxEmbedder, check_golden
from reid.release import MODEL_FILE, WEIGHTS_FILE, load_release, write_release

SHIPPED = Path(__file__).parents[2] / "models" / "osnet_x0_25_default"
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(params=[PyCuda, BindingsCuda], ids=lambda library: library.name)
def gpu(request, engines):
    try:
        request.param().close()
        return Gpu(find_gpu(engines).plans, request.param)
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def release():
    return load_release(SHIPPED)


@pytest.fixture(params=["fp32", "fp16", "int8"])
def precision(request, release):
    if request.param not in release.precisions:
        pytest.skip(f"the shipped release has no graph in {request.param}")
    return request.param


def test_golden_crops_come_out_in_every_batch_size(gpu, release, precision):
    embedder = open_tensorrt_embedder(release, precision, gpu=gpu)
    assert check_golden(embedder, release, sizes=SIZES) >= release.manifest.golden_cosine[precision]
    embedder.close()


def test_every_size_runs_as_a_graph_and_large_batches_in_parts(gpu, release, rng):
    embedder = open_tensorrt_embedder(release, "fp32", gpu=gpu)
    crops = rng.integers(0, 256, (70, 256, 128, 3), dtype=np.uint8)
    wanted = OnnxEmbedder(release).embed(crops)
    assert embedder._session.num_graphs == len(SIZES)
    assert np.sum(embedder.embed(crops) * wanted, axis=1).min() > 0.9999
    assert 0 < embedder.device_ms(1) < embedder.device_ms(32) * 2
    embedder.close()


def test_closing_gives_the_memory_back(gpu, release):
    cuda = gpu.open_cuda()
    with cuda.current():
        open_tensorrt_embedder(release, "fp32", gpu=gpu).close()
        before = cuda.free_bytes()
        for _ in range(3):
            open_tensorrt_embedder(release, "fp32", gpu=gpu).close()
        assert before - cuda.free_bytes() < 32 << 20
    cuda.close()


def test_a_refitted_engine_computes_the_other_weights_and_the_running_one_its_own(gpu, release, tmp_path):
    running = open_tensorrt_embedder(release, "fp32", gpu=gpu)
    other = _with_other_bias(release, tmp_path)
    refitted = running.refitted(other)
    wanted = OnnxEmbedder(other).embed(release.golden.crops)
    assert np.sum(refitted.embed(release.golden.crops) * wanted, axis=1).min() > 0.9999
    assert check_golden(running, release) > 0.9999
    assert np.sum(wanted * release.golden.embeddings, axis=1).max() < 0.9999  # the two can be told apart
    refitted.close()
    running.close()


def _with_other_bias(release, folder):
    """The same release but for its last bias, which a refit is known to lose."""
    copied = shutil.copytree(release.folder, folder / "other")
    model = onnx.load(copied / MODEL_FILE)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "fc.0.bias")
    values = numpy_helper.to_array(bias) + np.linspace(0, 2, 512, dtype=np.float32)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, copied / MODEL_FILE)
    save_file({**load_file(copied / WEIGHTS_FILE), bias.name: values}, copied / WEIGHTS_FILE)
    return write_release(copied, {**release.manifest.model_dump(exclude={"sha256"}), "space": "other"})
