"""Detectors by TensorRT: on fakes beside ONNX Runtime, and public ones through the real builder."""

from __future__ import annotations

import numpy as np
import pytest
from fakes_cuda import FakeGpu
from fakes_detector import write_constant_model, write_decoded_queries_model, yolox_rows
from fakes_tensorrt import FakeTensorRt

from edge.backends.tensorrt import detector as tensorrt_detector
from edge.backends.tensorrt.builder import build_engine
from edge.backends.tensorrt.cache import EngineCache
from edge.backends.tensorrt.detector import SPEC, load_tensorrt_detector
from edge.backends.tensorrt.embedder import Gpu
from edge.backends.tensorrt.module import load_tensorrt
from edge.backends.tensorrt.plans import PlanSource
from edge.detectors import open_detector
from edge.errors import BackendError
from reid.detector_onnx import load_onnx_detector
from reid.errors import DetectorError

FRAME = np.full((64, 128, 3), 90, np.uint8)


@pytest.fixture
def device():
    return FakeGpu()


@pytest.fixture
def trt(device):
    return FakeTensorRt(device)


@pytest.fixture
def gpu(device, trt, tmp_path):
    return Gpu(PlanSource(trt.installed(), device.device, EngineCache(tmp_path / "engines")), device.open_cuda)


@pytest.fixture
def yolox(tmp_path):
    return write_constant_model(tmp_path / "yolox.onnx", yolox_rows((0, 0.5, 0.5, 1.0, 1.0, 0.5)))


def test_boxes_are_those_of_onnxruntime(gpu, yolox):
    ours = load_tensorrt_detector(yolox, gpu=gpu).detect(FRAME)
    theirs = load_onnx_detector(yolox, num_threads=1).detect(FRAME)
    assert len(ours) == 1
    np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)


def test_a_graph_with_a_free_batch_and_two_inputs_is_run_for_one_frame(gpu, tmp_path):
    shares = np.array([[0.1, 0.2, 0.5, 0.9], [0.6, 0.1, 0.9, 0.5]])
    path = write_decoded_queries_model(tmp_path / "m.onnx", shares, np.array([0.6, 0.9]), labels=np.array([0, 0]))
    ours, theirs = load_tensorrt_detector(path, gpu=gpu).detect(FRAME), load_onnx_detector(path).detect(FRAME)
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy)


def test_the_second_start_builds_nothing(gpu, trt, yolox):
    for _ in range(2):
        load_tensorrt_detector(yolox, gpu=gpu)
    assert len(trt.builds) == 1


def test_a_failing_device_is_an_error_of_the_frame(gpu, device, yolox):
    detector = load_tensorrt_detector(yolox, gpu=gpu)
    device.is_broken = True
    with pytest.raises(DetectorError, match=r"yolox\.onnx failed on a frame of .*: TensorRT: CUDA: an illegal"):
        detector.detect(FRAME)


def test_an_engine_that_this_gpu_refuses_is_thrown_away_and_named(gpu, device, trt, yolox):
    trt.refuses_plans = True
    with pytest.raises(DetectorError, match=r"yolox\.onnx cannot be run by TensorRT: .*incompatible device"):
        load_tensorrt_detector(yolox, gpu=gpu)
    assert (gpu.plans.cache.paths(), device.num_open) == ([], 0)


def test_a_graph_of_no_known_layout_is_refused_as_ever(gpu, tmp_path):
    path = write_constant_model(tmp_path / "odd.onnx", np.zeros((1, 3, 3)))
    with pytest.raises(DetectorError, match="is no detector of a known layout"):
        load_tensorrt_detector(path, gpu=gpu)


def test_the_form_of_its_name_asks_for_the_gpu(gpu, monkeypatch, yolox):
    monkeypatch.setattr(tensorrt_detector, "find_gpu", lambda _folder: gpu)
    assert open_detector(f"tensorrt:{yolox}").num_too_small == 0
    assert len(gpu.plans.cache.paths()) == 1
    with pytest.raises(DetectorError, match=r"no detector at nowhere\.onnx"):
        open_detector("tensorrt:nowhere.onnx")


def test_without_a_gpu_the_reason_is_given(monkeypatch, yolox):
    def find_gpu(_folder):
        raise BackendError("no NVIDIA driver can be used here")

    monkeypatch.setattr(tensorrt_detector, "find_gpu", find_gpu)
    with pytest.raises(DetectorError, match=r"yolox\.onnx cannot be run by TensorRT: no NVIDIA driver"):
        open_detector(f"tensorrt:{yolox}")


@pytest.mark.data
@pytest.mark.parametrize("name", ["yolox_nano_416x416", "nanodet_m_320", "light_person_detector"])
def test_public_detectors_are_built(data_root, name):
    try:
        tensorrt = load_tensorrt()
    except BackendError as error:
        pytest.skip(str(error))
    onnx = (data_root / "detectors_onnx" / f"{name}.onnx").read_bytes()
    assert build_engine(tensorrt, onnx, SPEC, name=name).summary["layers"] > 50
