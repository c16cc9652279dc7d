"""Person detectors on a GPU: the same ONNX files, through the same builder, cache and CUDA as the embedder.

The engine is kept in a folder `engines` beside the detector's file. Unproven without a GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

from edge.backends.tensorrt.builder import BatchProfile, BuildSpec
from edge.backends.tensorrt.embedder import Gpu, engine_folder, find_gpu
from edge.backends.tensorrt.engine import EngineSession, LoadedEngine, Tensor
from edge.backends.tensorrt.plans import Plan
from edge.errors import BackendError
from reid.detector import Detector
from reid.detector_graph import AnyArray, GraphShapes, Shape
from reid.detector_onnx import check_detector_file, detector_of
from reid.errors import DetectorError

SPEC = BuildSpec("fp32", BatchProfile(1, 1, 1), allows_tf32=True)
"""One frame at a time. Boxes bear the rounding that embeddings are spared."""


class TensorRtSession:
    """Runs a detector's graph. See `reid.detector_graph.DetectorSession`.

    Args:
        path: The ONNX file.
        gpu: Where to run it.

    Raises:
        BackendError: The engine cannot be built or run.
        DeviceMemoryError: The device's memory is used up.
    """

    def __init__(self, path: Path, gpu: Gpu) -> None:
        self._session = gpu.plans.open(path, SPEC, lambda plan: _open_session(plan, gpu, path))
        weakref.finalize(self, self._session.close)
        self._inputs = [tensor for tensor in self._session.tensors if tensor.is_input]
        self._outputs = [tensor for tensor in self._session.tensors if not tensor.is_input]
        self.shapes = GraphShapes(
            inputs=tuple(_shape(tensor) for tensor in self._inputs),
            outputs=tuple(_shape(tensor) for tensor in self._outputs),
            input_names=tuple(tensor.name for tensor in self._inputs),
            output_names=tuple(tensor.name for tensor in self._outputs),
        )
        self.input_types = [tensor.dtype.name for tensor in self._inputs]

    def run(self, feeds: Sequence[AnyArray]) -> Sequence[AnyArray]:
        """See `DetectorSession.run`."""
        named = {tensor.name: array for tensor, array in zip(self._inputs, feeds, strict=True)}
        try:
            outputs = self._session.run(named)
        except BackendError as error:
            raise DetectorError(f"TensorRT: {error}") from None
        return [outputs[tensor.name] for tensor in self._outputs]


def load_tensorrt_detector(path: Path, *, min_score: float = 0.3, gpu: Gpu | None = None) -> Detector:
    """Load a detector from an ONNX file; builds its engine where none is kept.

    Args:
        path: The file.
        min_score: Boxes below this are not reported, in [0, 1].
        gpu: None for this machine's, with engines kept beside the file.

    Raises:
        DetectorError: The file is missing, no engine can be made of it, its shapes are of no known layout, or there is
            no GPU.
    """
    check_detector_file(path, min_score=min_score)
    try:
        session = TensorRtSession(path, gpu or find_gpu(engine_folder(path)))
    except BackendError as error:
        raise DetectorError(f"{path} cannot be run by TensorRT: {error}") from None
    return detector_of(session, path, min_score=min_score)


def _open_session(plan: Plan, gpu: Gpu, path: Path) -> EngineSession:
    cuda = gpu.open_cuda()
    try:
        with cuda.current():
            loaded = LoadedEngine(gpu.tensorrt, plan.content, cuda, name=f"the engine of {path.name}")
            return EngineSession(loaded, cuda, sizes=[1])
    except BaseException:
        cuda.close()
        raise


def _shape(tensor: Tensor) -> Shape:
    return tuple(None if size < 0 else size for size in tensor.shape)
