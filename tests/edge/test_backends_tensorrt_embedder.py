"""The embedder on fakes of CUDA and TensorRT. A real engine runs only where there is a GPU."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import onnx
import pytest
from fakes_cuda import FakeGpu
from fakes_tensorrt import FakeTensorRt, Flag
from releases import write_tiny_release
from safetensors.numpy import save_file
from structlog.testing import capture_logs

from edge.backends.registry import Refittable
from edge.backends.tensorrt.cache import EngineCache
from edge.backends.tensorrt.embedder import SIZES, Gpu, engine_spec, open_tensorrt_embedder
from edge.backends.tensorrt.plans import PlanSource
from edge.errors import BackendError, DeviceMemoryError
from reid.embedder import OnnxEmbedder, check_golden
from reid.errors import EmbeddingError, ReleaseMismatchError
from reid.release import WEIGHTS_FILE


class Site:
    """A machine with a fake GPU and a fake TensorRT."""

    def __init__(self, release, folder, **options) -> None:
        self.release, self.device = release, FakeGpu()
        self.trt = FakeTensorRt(self.device, **options)
        plans = PlanSource(self.trt.installed(), self.device.device, EngineCache(folder))
        self.gpu = Gpu(plans, self.device.open_cuda)

    def open(self, precision="fp32"):
        return open_tensorrt_embedder(self.release, precision, gpu=self.gpu)


@pytest.fixture
def site(tiny_release, tmp_path):
    return Site(tiny_release, tmp_path / "engines")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 32, 33, 70])
def test_every_batch_size_agrees_with_onnxruntime(site, rng, count):
    crops = rng.integers(0, 256, (count, 256, 128, 3), dtype=np.uint8)
    np.testing.assert_allclose(site.open().embed(crops), OnnxEmbedder(site.release).embed(crops), atol=1e-6)


@pytest.mark.parametrize(("count", "launches"), [(3, 1), (32, 1), (33, 2), (70, 3)])
def test_a_batch_is_one_graph_and_a_larger_one_runs_in_parts(site, rng, count, launches):
    embedder = site.open()
    before = site.device.num_launches
    embedder.embed(rng.integers(0, 256, (count, 256, 128, 3), dtype=np.uint8))
    assert site.device.num_launches - before == launches
    assert len(site.device.graphs) == len(SIZES)


def test_a_padded_size_that_computes_something_else_is_found(site):
    site.trt.wrong_batch = 32
    with pytest.raises(ReleaseMismatchError, match="golden crops come out at cosine"):
        site.open()


def test_embeddings_outlive_the_next_batch(site):
    embedder, crops = site.open(), site.release.golden.crops
    first = embedder.embed(crops[:1])
    kept = first.copy()
    embedder.embed(crops[1:])
    np.testing.assert_array_equal(first, kept)


def test_a_crop_cut_out_of_a_larger_array_is_embedded_alike(site):
    crops = site.release.golden.crops
    wide = np.zeros((len(crops), 256, 256, 3), np.uint8)
    wide[:, :, :128] = crops
    np.testing.assert_allclose(site.open().embed(wide[:, :, :128]), site.release.golden.embeddings, atol=1e-5)


def test_bad_batches_are_refused_and_an_empty_one_gives_no_rows(site):
    embedder = site.open()
    assert embedder.embed(np.empty((0, 256, 128, 3), np.uint8)).shape == (0, 8)
    with pytest.raises(EmbeddingError, match=r"wanted uint8 \(N, 256, 128, 3\)"):
        embedder.embed(np.zeros((1, 256, 128, 3), np.float32))


def test_closing_or_letting_go_gives_everything_back(site):
    closed, dropped = site.open(), site.open()
    assert closed.device_bytes > site.device.used_bytes() / 2 > 0
    closed.close()
    closed.close()
    del dropped
    gc.collect()
    device = site.device
    assert (device.memory, device.pinned, device.streams, device.graphs, device.num_open) == ({}, [], set(), {}, 0)


def test_without_graphs_it_runs_all_the_same_and_says_so(site):
    site.device.captures = False
    with capture_logs() as logs:
        embedder = site.open()
    assert check_golden(embedder, site.release) > 0.9999
    assert sum(log["event"] == "runs without CUDA graph" for log in logs) == len(SIZES)


def test_a_failing_device_is_one_error_a_batch(site):
    embedder = site.open()
    site.device.is_broken = True
    with pytest.raises(EmbeddingError, match="TensorRT failed on a batch of 2 crops: CUDA: an illegal memory access"):
        embedder.embed(site.release.golden.crops)


def test_a_full_device_is_named_and_nothing_stays_behind(site):
    site.trt.activation_bytes = 2 << 30
    with pytest.raises(DeviceMemoryError, match=r"needs 2048 MB more, and \d+ of 1024 MB are free on Fake GPU"):
        site.open()
    assert (site.device.memory, site.device.streams, site.device.num_open) == ({}, set(), 0)


def test_an_engine_that_this_gpu_refuses_is_named_after_building_anew(site):
    site.open()
    site.trt.refuses_plans = True
    with pytest.raises(BackendError, match=r"cannot be opened by tensorrt 10.3.0 on Fake GPU \(8.7\): .*incompatible"):
        site.open()
    assert len(site.trt.builds) == 3  # the first, the same again, one without refit


def test_the_second_start_builds_nothing(site):
    site.open()
    site.open()
    assert site.trt.builds == [{Flag.REFIT}]


def test_an_engine_whose_refit_form_loses_a_bias_is_built_without(site):
    site.trt.loses_bias = True
    with capture_logs() as logs:
        embedder = site.open()
    assert check_golden(embedder, site.release) > 0.9999
    assert site.trt.builds == [{Flag.REFIT}, set()]
    assert any(log["event"] == "engine thrown away" and "golden crops" in log["reason"] for log in logs)


def test_an_engine_that_failed_once_is_not_built_again_at_every_start(site):
    site.trt.refuses_refit = True
    for _ in range(2):
        site.open()
    assert site.trt.builds == [{Flag.REFIT}, set()]


def test_where_no_engine_can_be_refitted_one_without_is_built(site):
    site.trt.refuses_refit = True
    assert check_golden(site.open(), site.release) > 0.9999


def test_a_kept_engine_that_went_wrong_is_built_anew(site):
    site.open()
    path = site.gpu.plans.cache.paths()[0]
    other = write_tiny_release(path.parent / "other", seed=3)
    key = site.gpu.plans.key(site.release.model_path.read_bytes(), engine_spec("fp32"))
    wrong = b'{"refit": true}\n' + other.model_path.read_bytes()
    site.gpu.plans.cache.store(key, wrong, name="model.onnx", summary={})
    assert check_golden(site.open(), site.release) > 0.9999
    assert len(site.trt.builds) == 2


def test_before_strong_types_flags_choose_the_precision(tiny_release, tmp_path):
    site = Site(tiny_release, tmp_path / "engines", is_strongly_typed=False)
    assert check_golden(site.open("fp16"), tiny_release) > 0.9999
    assert site.trt.builds == [{Flag.REFIT, Flag.FP16}]


@pytest.mark.parametrize("has_parser_refitter", [True, False], ids=["from-the-graph", "by-name"])
def test_refit_makes_a_second_engine_and_leaves_the_running_one(tiny_release, tmp_path, has_parser_refitter):
    site = Site(tiny_release, tmp_path / "engines", has_parser_refitter=has_parser_refitter)
    other = _second_release(tmp_path, seed=5)
    running = site.open()
    refitted = running.refitted(other)
    assert isinstance(running, Refittable)
    assert refitted.release == other.ref
    for embedder, release in ((running, tiny_release), (refitted, other)):
        assert check_golden(embedder, release) > 0.9999
    assert len(site.trt.builds) == 1


def test_a_refitted_engine_is_kept_for_the_next_start_and_can_be_refitted_again(site, tmp_path):
    other, third = (_second_release(tmp_path / str(seed), seed=seed) for seed in (5, 6))
    refitted = site.open().refitted(other)
    assert check_golden(refitted.refitted(third), third) > 0.9999
    assert check_golden(open_tensorrt_embedder(other, "fp32", gpu=site.gpu), other) > 0.9999
    assert len(site.trt.builds) == 1


def test_weights_that_do_not_fit_are_named_and_the_running_engine_stays(tiny_release, tmp_path):
    site = Site(tiny_release, tmp_path / "engines", has_parser_refitter=False)
    embedder, other = site.open(), _second_release(tmp_path, seed=5)
    save_file({"weight": np.zeros((3, 3), np.float32)}, other.folder / WEIGHTS_FILE)
    with pytest.raises(BackendError, match=r"weight \(3, 3\) does not fit the engine: build one instead"):
        embedder.refitted(other)
    assert check_golden(embedder, tiny_release) > 0.9999
    assert site.device.num_open == 1


def test_a_graph_of_another_structure_refuses_the_refit(site, tmp_path):
    embedder, other = site.open(), _second_release(tmp_path, seed=5)
    model = onnx.load(other.model_path)
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.append(onnx.helper.make_node("Identity", ["plain"], ["embeddings"]))
    onnx.save(model, other.model_path)
    with pytest.raises(BackendError, match=r"cannot refit the engine, build one instead: .*another structure"):
        embedder.refitted(other)


def test_what_cannot_be_refitted_says_so(site, tmp_path):
    embedder, other = site.open(), _second_release(tmp_path, seed=5)
    manifest = other.manifest.model_copy(update={"architecture": "osnet_x9"})
    with pytest.raises(BackendError, match=r"is osnet_x9, the engine bands: it cannot be refitted, build one instead"):
        embedder.refitted(replace(other, manifest=manifest))
    site.trt.refuses_refit = True
    site.release = other
    with pytest.raises(BackendError, match="in fp32 cannot be refitted: build one instead"):
        site.open().refitted(site.release)


def test_a_model_of_another_dimension_than_its_manifest_is_refused(site):
    site.release = replace(site.release, manifest=site.release.manifest.model_copy(update={"dim": 9}))
    with pytest.raises(ReleaseMismatchError, match="puts out 8 numbers, its manifest says 9"):
        site.open()


def _second_release(folder, *, seed):
    release = write_tiny_release(folder / "other", seed=seed)
    weight = np.random.default_rng(seed).standard_normal((24, 8)).astype(np.float32)
    save_file({"weight": weight}, release.folder / WEIGHTS_FILE)
    return release
