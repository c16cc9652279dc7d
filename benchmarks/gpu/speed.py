"""Check 4: batches of 1, 8, 32 and 128 on TensorRT with and without CUDA graphs, beside torch and ONNX Runtime.

All in turn in one run; host time from a batch in host memory to embeddings in host memory. The device's own time of
TensorRT, by events, stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import MissingPartError, need_gpu, need_torch_cuda
from benchmarks.instruments.latency.rivals import load_network
from benchmarks.instruments.latency.scene import draw_scene
from benchmarks.instruments.latency.spread import spread_of, times_in_turn
from edge.backends.cuda.choice import open_cuda
from edge.backends.cuda.interface import Cuda
from edge.backends.tensorrt.embedder import SIZES, engine_folder, find_gpu, open_tensorrt_embedder
from reid.embedding import normalise
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.release import Release
from reid.types import FloatArray, UInt8Array

_BATCHES = (1, 8, 32, 128)
_SECONDS = 1.5
Embed = Callable[[UInt8Array], FloatArray]


class GraphlessCuda:
    """CUDA as it is, but what was captured is put on the stream call by call."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._works: dict[int, Callable[[], None]] = {}
        self._numbers = count(1)

    def __getattr__(self, name: str) -> Any:
        """Everything else is CUDA's."""
        return getattr(self._cuda, name)

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """See `edge.backends.cuda.interface.Cuda`."""
        number = next(self._numbers)
        self._works[number] = work
        return number

    def launch(self, graph: int, stream: int) -> None:
        """See `edge.backends.cuda.interface.Cuda`."""
        self._works[graph]()

    def free_graph(self, graph: int) -> None:
        """See `edge.backends.cuda.interface.Cuda`."""
        del self._works[graph]


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Time all that is here; what is not is named in the details.

    Raises:
        MissingPartError: Neither TensorRT nor torch finds a GPU.
    """
    calls: dict[str, Embed] = {}
    details["absent"] = {}
    for part in (_tensorrt, _torch, _onnxruntime):
        try:
            calls |= part(release, details)
        except (MissingPartError, ImportError) as error:
            details["absent"][part.__name__.strip("_")] = str(error)
    if not calls:
        raise MissingPartError("; ".join(details["absent"].values()))
    scene = draw_scene(num_boxes=max(_BATCHES))
    for batch in _BATCHES:
        bound = {name: partial(call, scene.crops[:batch]) for name, call in calls.items()}
        times_ms = times_in_turn(bound, budget_s=_SECONDS * len(bound), clock=time.perf_counter)
        details[str(batch)] = {name: spread_of(times).to_json() for name, times in times_ms.items()}
        for name, spread in details[str(batch)].items():
            figures[f"crops_per_s_{name}_b{batch}"] = 1e3 * batch / spread["p50_ms"]
    ours, eager = "crops_per_s_tensorrt_fp16_b1", "crops_per_s_torch_fp32_b1"
    if ours in figures and eager in figures:
        figures["speedup_b1"] = figures[ours] / figures[eager]


def _tensorrt(release: Release, details: dict[str, Any]) -> dict[str, Embed]:
    need_gpu()
    gpu = find_gpu(engine_folder(release.folder))
    plain = replace(gpu, open_cuda=lambda: GraphlessCuda(open_cuda()))
    embedder = open_tensorrt_embedder(release, "fp16", gpu=gpu)
    details["device_ms"] = {str(batch): embedder.device_ms(batch) for batch in _BATCHES if batch <= SIZES[-1]}
    return {
        "tensorrt_fp16": embedder.embed,
        "tensorrt_fp16_without_graphs": open_tensorrt_embedder(release, "fp16", gpu=plain).embed,
        "tensorrt_fp32": open_tensorrt_embedder(release, "fp32", gpu=gpu).embed,
    }


def _torch(release: Release, details: dict[str, Any]) -> dict[str, Embed]:
    """OSNet on the card: pixels go there as bytes and are normalised there, which favours it."""
    torch = need_torch_cuda()
    plain = load_network(release).cuda()
    half = load_network(release).cuda().half().to(memory_format=torch.channels_last)
    mean = torch.tensor([0.485, 0.456, 0.406], device="cuda").reshape(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device="cuda").reshape(1, 3, 1, 1)

    def embed(network: Any, dtype: Any, crops: UInt8Array) -> FloatArray:
        with torch.no_grad():
            images = torch.from_numpy(crops).cuda().flip(3).permute(0, 3, 1, 2).float().div(255)
            images = images.sub(mean).div(deviation).to(dtype)
            if dtype is torch.float16:
                images = images.contiguous(memory_format=torch.channels_last)
            return normalise(network(images).float().cpu().numpy())

    calls: dict[str, Embed] = {
        "torch_fp32": partial(embed, plain, torch.float32),
        "torch_fp16_channels_last": partial(embed, half, torch.float16),
    }
    try:
        compiled = torch.compile(half, dynamic=False)
        with torch.no_grad():
            pixels = torch.zeros(1, 3, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, device="cuda", dtype=torch.float16)
            compiled(pixels.contiguous(memory_format=torch.channels_last))
        calls["torch_fp16_compiled"] = partial(embed, compiled, torch.float16)
    except Exception as error:  # a compiler that is missing shows itself in many ways
        details["absent"]["torch.compile"] = str(error)[:300]
    return calls


def _onnxruntime(release: Release, details: dict[str, Any]) -> dict[str, Embed]:
    import onnxruntime as ort  # noqa: PLC0415

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise MissingPartError("this ONNX Runtime has no CUDA")
    session = ort.InferenceSession(str(release.model_path), providers=["CUDAExecutionProvider"])
    return {"onnxruntime_cuda_fp32": lambda crops: normalise(session.run(["embeddings"], {"crops": crops})[0])}
