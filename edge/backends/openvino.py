"""OpenVINO back end: the CPU of an x86 box, in bfloat16 where the processor has it, in int8 where the release has it.

A graph whose batch size is fixed runs faster than one that takes any, and never stops to prepare for a size that it has
not seen. So the usual small batches have a graph each, and larger ones are run in parts.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from edge.errors import BackendError
from reid.embedder import SMALL_BATCHES, check_crops, check_graph
from reid.embedding import normalise
from reid.errors import ReleaseError
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.release import Precision, Release
from reid.types import FloatArray, UInt8Array

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
"""An int8 graph says what it quantises; the rest of it OpenVINO computes as is fastest here, bf16 or fp32."""


class OpenVinoEmbedder:
    """Runs a release on the CPU with OpenVINO.

    Args:
        release: A verified release.
        precision: `fp32`, `bf16` or `int8`; one of `openvino_precisions`.
        num_threads: Threads of one call; 0 for as many as OpenVINO chooses.

    Raises:
        BackendError: OpenVINO is not installed.
        ReleaseError: The release has no graph in this precision, OpenVINO cannot load it, or its input or output is
            not that of the manifest.
    """

    backend = "openvino"

    def __init__(self, release: Release, *, precision: Precision = "fp32", num_threads: int = 0) -> None:
        self.release = release.ref
        self.dim = release.manifest.dim
        self.precision = precision
        path = release.model_path_in(precision)
        core = _core()
        # One batch at a time for all cameras; pinned threads would fight the detectors for one core.
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads,
            "ENABLE_CPU_PINNING": False,
        }
        if precision in _HINTS:
            config["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        try:
            model = core.read_model(str(path))
            _check_graph(model, release, precision)
            self._requests = {}
            for size in SMALL_BATCHES:
                model.reshape([size, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3])
                self._requests[size] = core.compile_model(model, "CPU", config).create_infer_request()
        except RuntimeError as error:
            raise ReleaseError(f"{path} cannot be loaded by OpenVINO: {error}") from None

    def embed(self, crops: UInt8Array) -> FloatArray:
        """See `reid.embedder.Embedder.embed`."""
        check_crops(crops)
        if len(crops) == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        most = SMALL_BATCHES[-1]
        return np.concatenate([self._embed_part(crops[start : start + most]) for start in range(0, len(crops), most)])

    def _embed_part(self, crops: UInt8Array) -> FloatArray:
        return normalise(self._requests[len(crops)].infer([crops], share_inputs=True, share_outputs=True)[0])


def openvino_version() -> str:
    """Version of the installed OpenVINO, found without loading it; `none` where it is not installed."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return "none"


def openvino_precisions(release: Release) -> tuple[Precision, ...]:
    """What this machine's processor computes by itself, and int8 if the release has that graph.

    Args:
        release: A verified release.

    Raises:
        BackendError: OpenVINO is not installed, or finds no processor that it knows.
    """
    core = _core()
    try:
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeError as error:
        raise BackendError(f"OpenVINO cannot use this machine's processor: {error}") from None
    floats: tuple[Precision, ...] = ("bf16", "fp32") if has_bf16 else ("fp32",)
    return (*floats, "int8") if "int8" in release.precisions else floats


def _core() -> Any:
    return _core_of(_import_openvino())


@cache
def _core_of(openvino: Any) -> Any:
    """The one of this process, never given back.

    OpenVINO gives the thread that makes a `Core` another stack for its signal handlers, and frees that stack with the
    last `Core` or model, in whatever thread that is. The next Ctrl-C would then end the process by a fault of memory.
    """
    return openvino.Core()


def _import_openvino() -> Any:
    try:
        import openvino  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise BackendError(
            f"OpenVINO is not installed ({error}): pip install 'osprey-reid[openvino]', or take --backend onnxruntime"
        ) from None
    return openvino


def _check_graph(model: Any, release: Release, precision: Precision) -> None:
    outputs = {node.get_any_name(): node.partial_shape[-1] for node in model.outputs}
    check_graph(release, [node.get_any_name() for node in model.inputs], outputs, precision=precision)
