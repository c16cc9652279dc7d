"""TensorRT back end: the GPU of a Jetson, or an NVIDIA card.

An engine is built on the device that runs it, which takes seconds to minutes, and kept in a folder `engines` beside
the release. Its golden crops are checked here, and one that is wrong is built anew: a kept engine that went bad, or one
whose refit form loses a bias, must not stop an edge. Running and refitting need a GPU and are unproven without one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from edge.backends.cuda.choice import open_cuda
from edge.backends.cuda.interface import Cuda
from edge.backends.tensorrt.builder import BatchProfile, BuildSpec, Watch, graph_precision
from edge.backends.tensorrt.cache import EngineCache
from edge.backends.tensorrt.engine import EngineSession, LoadedEngine
from edge.backends.tensorrt.module import TensorRt, load_tensorrt
from edge.backends.tensorrt.plans import Plan, PlanSource
from edge.backends.tensorrt.refit import refit_engine
from edge.errors import BackendError
from reid.embedder import Embedder, check_crops, check_golden, check_graph
from reid.embedding import normalise
from reid.errors import EmbeddingError
from reid.release import WEIGHTS_FILE, Precision, Release
from reid.types import FloatArray, UInt8Array

logger = structlog.get_logger(__name__)

SIZES = (1, 2, 4, 8, 16, 32)
"""Batch sizes with a CUDA graph of their own."""
PROFILE = BatchProfile(1, 8, SIZES[-1])
_FOLDER = "engines"


@dataclass(frozen=True)
class Gpu:
    """What it takes to run engines here.

    Attributes:
        plans: Where engines come from.
        open_cuda: Opens the device; each embedder has it open for itself.
    """

    plans: PlanSource
    open_cuda: Callable[[], Cuda]

    @property
    def tensorrt(self) -> TensorRt:
        """What is installed."""
        return self.plans.tensorrt


class TensorRtEmbedder:
    """Runs a release on a GPU.

    Args:
        release: A verified release.
        plan: Its engine.
        gpu: Where to run it.
        refits: `plan` is the engine of another release: put this one's weights into it.

    Attributes:
        device_bytes: Memory of the device that it holds.

    Raises:
        BackendError: The engine does not run here, or refuses the weights.
        DeviceMemoryError: The device's memory is used up.
        ReleaseMismatchError: The engine's input or output is not that of the manifest.
    """

    backend = "tensorrt"

    def __init__(self, release: Release, plan: Plan, gpu: Gpu, *, refits: bool = False) -> None:
        self.release = release.ref
        self.dim = release.manifest.dim
        self.precision: Precision = plan.key.precision
        self._architecture = release.manifest.architecture
        self._gpu = gpu
        self._session, self._plan = _open_session(release, plan, gpu, refits=refits)
        self.device_bytes = self._session.device_bytes
        # Whoever lets go of an embedder gives its memory back, also where nobody calls `close`.
        self._closes = weakref.finalize(self, self._session.close)

    def embed(self, crops: UInt8Array) -> FloatArray:
        """See `reid.embedder.Embedder.embed`."""
        check_crops(crops)
        if len(crops) == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        most = self._session.most
        return np.concatenate([self._embed_part(crops[start : start + most]) for start in range(0, len(crops), most)])

    def refitted(self, release: Release) -> Embedder:
        """See `edge.backends.registry.Refittable.refitted`."""
        if not self._plan.key.is_refittable:
            raise BackendError(
                f"the engine of {self.release} in {self.precision} cannot be refitted: build one instead"
            )
        if release.manifest.architecture != self._architecture:
            raise BackendError(
                f"release {release.ref} is {release.manifest.architecture}, the engine {self._architecture}: "
                "it cannot be refitted, build one instead"
            )
        return TensorRtEmbedder(release, self._plan, self._gpu, refits=True)

    def device_ms(self, count: int) -> float:
        """Milliseconds of the device for a batch of `count` crops, at most `SIZES[-1]`, by the device's own clock."""
        return self._session.device_ms(count)

    def close(self) -> None:
        """Give the device's memory back. The embedder cannot be used any more."""
        self._closes()

    def _embed_part(self, crops: UInt8Array) -> FloatArray:
        try:
            return normalise(self._session.run({"crops": crops})["embeddings"])
        except BackendError as error:
            raise EmbeddingError(f"TensorRT failed on a batch of {len(crops)} crops: {error}") from None


def open_tensorrt_embedder(release: Release, precision: Precision, *, gpu: Gpu | None = None) -> TensorRtEmbedder:
    """Open a release on the GPU; builds its engine where none is kept.

    Args:
        release: A verified release.
        precision: `fp32`, `fp16` or `int8`.
        gpu: None for this machine's, with engines kept beside the release.

    Raises:
        BackendError: No TensorRT, driver or GPU, or the engine cannot be built or run.
        DeviceMemoryError: The device's memory is used up.
        ReleaseError: The release has no graph of this precision, or what the engine computes is not what was released.
    """
    gpu = gpu or find_gpu(engine_folder(release.folder))
    where, graph = gpu, _graph_of(release, precision, gpu.tensorrt)
    return gpu.plans.open(graph, engine_spec(precision), lambda plan: _open_checked(release, plan, where))


def tensorrt_precisions(release: Release) -> tuple[Precision, ...]:
    """What TensorRT computes of a release on this machine.

    Raises:
        BackendError: No TensorRT, driver or GPU.
    """
    tensorrt = find_gpu(engine_folder(release.folder)).tensorrt
    wanted: tuple[Precision, ...] = ("int8", "fp16", "fp32")
    return tuple(one for one in wanted if graph_precision(tensorrt, one) in release.precisions)


def find_gpu(folder: Path, *, watch: Watch | None = None) -> Gpu:
    """This machine's GPU.

    Args:
        folder: Where engines are kept.
        watch: Is told how far a build is.

    Raises:
        BackendError: There is none, or what it takes to use it is not installed.
    """
    cuda = open_cuda()
    cuda.close()
    return Gpu(PlanSource(load_tensorrt(), cuda.device, EngineCache(folder), watch=watch), open_cuda)


def engine_folder(folder: Path) -> Path:
    """Where the engines of a release are kept: beside its folder; inside it nothing is ever written."""
    return folder.resolve().parent / _FOLDER


def engine_spec(precision: Precision) -> BuildSpec:
    """The engine that the edge runs in a precision. In int8 it is built anew for other weights, never refitted."""
    return BuildSpec(precision, PROFILE, is_refittable=precision != "int8")


def _graph_of(release: Release, precision: Precision, tensorrt: TensorRt) -> Path:
    return release.model_path_in(graph_precision(tensorrt, precision))


def _open_checked(release: Release, plan: Plan, gpu: Gpu) -> TensorRtEmbedder:
    embedder = TensorRtEmbedder(release, plan, gpu)
    try:
        cosine = check_golden(embedder, release, sizes=SIZES)
    except BaseException:
        embedder.close()
        raise
    logger.info(
        "engine opened",
        precision=embedder.precision,
        device=gpu.plans.device.name,
        device_mb=round(embedder.device_bytes / 1e6, 1),
        refittable=plan.key.is_refittable,
        cached=plan.is_cached,
        golden_cosine=round(cosine, 5),
    )
    return embedder


def _open_session(release: Release, plan: Plan, gpu: Gpu, *, refits: bool) -> tuple[EngineSession, Plan]:
    cuda = gpu.open_cuda()
    try:
        with cuda.current():
            loaded = LoadedEngine(
                gpu.tensorrt, plan.content, cuda, name=f"the engine of {release.ref} in {plan.key.precision}"
            )
            try:
                _check_tensors(release, loaded, graph_precision(gpu.tensorrt, plan.key.precision))
                kept = _refit(release, loaded, plan, gpu) if refits else plan
                return EngineSession(loaded, cuda, sizes=SIZES), kept
            except BaseException:
                loaded.close()
                raise
    except BaseException:
        cuda.close()
        raise


def _refit(release: Release, loaded: LoadedEngine, plan: Plan, gpu: Gpu) -> Plan:
    """Put a release's weights into an engine, which is kept for the next start: that checks the golden crops anyway."""
    graph = _graph_of(release, plan.key.precision, gpu.tensorrt)
    refit_engine(gpu.tensorrt, loaded.engine, graph=graph, weights=release.folder / WEIGHTS_FILE)
    return gpu.plans.keep(graph, plan, loaded.serialise())


def _check_tensors(release: Release, loaded: LoadedEngine, precision: Precision) -> None:
    tensors = loaded.tensors()
    inputs = [tensor.name for tensor in tensors if tensor.is_input]
    outputs = {tensor.name: tensor.shape[-1] for tensor in tensors if not tensor.is_input}
    check_graph(release, inputs, outputs, precision=precision)
