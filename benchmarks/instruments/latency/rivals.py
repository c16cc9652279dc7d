"""What Osprey is timed beside: the same OSNet in torch, eager and compiled, and public networks of another make.

The eager one works in the manner of published feature extractors: each crop becomes a Pillow picture, is resized by
Pillow, becomes a float32 tensor, is normalised on the host; then the batch goes through the network as it is given. It
is handed decoded pictures: the time to decode files counts for nobody.

The public ones (OpenVINO's person-reidentification-retail) take float pixels; their preprocessing is ours. Their files
are for one picture: for larger batches the shapes inside are freed, which is the same work, but mixes the pictures a
little where a mean was taken over all axes.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.harness import ROOT
from benchmarks.instruments.latency.contestants import BATCHES, Contestant, Missing
from reid.embedding import normalise
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX, crop_person, network_input
from reid.release import Release
from reid.types import Box, FloatArray, UInt8Array

EAGER = "torch eager"
COMPILED = "torch compiled"
_COMPILED_BATCHES = (1, 32)
_COMPILE_PATIENCE_S = 150.0
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ZOO = ("person-reidentification-retail-0287", "person-reidentification-retail-0288")


def torch_contestants(release: Release, *, num_threads: int, compiles: bool) -> tuple[list[Contestant], Missing, Any]:
    """The release's OSNet in torch.

    Args:
        release: It.
        num_threads: Threads of one call; 0 for torch's own choice.
        compiles: Also by torch.compile, for batches of 1 and 32, if that ends in time.

    Returns:
        The contestants, those that are missing, and details on compiling.
    """
    try:
        import torch  # noqa: PLC0415 (a device has no torch)
    except ImportError:
        return [], dict.fromkeys((EAGER, COMPILED), "torch is not installed: pip install 'osprey-reid[train]'"), {}
    if num_threads:
        torch.set_num_threads(num_threads)
    network = load_network(release)
    found = [_torch_contestant(EAGER, network, BATCHES)]
    if not compiles:
        return found, {COMPILED: "left out of the quick form"}, {}
    missing: Missing = {}
    took_s = {batch: _compile_apart(release, batch) for batch in _COMPILED_BATCHES}
    compiled = tuple(batch for batch, seconds in took_s.items() if seconds is not None)
    if compiled:
        found.append(_torch_contestant(COMPILED, torch.compile(network, dynamic=False), compiled))
    for batch in set(_COMPILED_BATCHES) - set(compiled):
        missing[f"{COMPILED}, batch {batch}"] = f"failed or took longer than {_COMPILE_PATIENCE_S:g} s to compile"
    return found, missing, {"compile_s": {str(batch): seconds for batch, seconds in took_s.items()}}


def load_network(release: Release) -> Any:
    """The release's OSNet as trained, for inference.

    Raises:
        OspreyError: The release came without the weights to train further from.
    """
    from train.checkpoint import load_osnet  # noqa: PLC0415 (imports torch)
    from train.start import read_start  # noqa: PLC0415

    return load_osnet(read_start(release.folder).checkpoint).eval()


def extract(network: Callable[[Any], Any], pictures: Sequence[UInt8Array]) -> FloatArray:
    """Embed BGR pictures in the manner of a published feature extractor.

    Args:
        network: float32 (N, 3, 256, 128) -> float32 (N, D).
        pictures: uint8 (H, W, 3) BGR, of any sizes.

    Returns:
        float32 (N, D), unit norm.
    """
    import torch  # noqa: PLC0415

    return _features(network, torch.stack([_as_tensor(picture) for picture in pictures]))


def _torch_contestant(name: str, network: Callable[[Any], Any], batches: tuple[int, ...]) -> Contestant:
    import torch  # noqa: PLC0415

    def prepare(crops: UInt8Array) -> Any:
        return torch.stack([_as_tensor(crop) for crop in crops])

    def from_frame(image: UInt8Array, boxes: Sequence[Box]) -> FloatArray:
        return extract(network, [crop_person(image, box) for box in boxes])

    return Contestant(
        name=name,
        prepare=prepare,
        run=lambda images: _features(network, images),
        from_frame=from_frame,
        batches=batches,
    )


def _as_tensor(picture: UInt8Array) -> Any:
    import torch  # noqa: PLC0415

    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).convert("RGB")
    resized = image.resize((INPUT_WIDTH_PX, INPUT_HEIGHT_PX), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous().float().div(255)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    return pixels.sub_(mean).div_(deviation)


def _features(network: Callable[[Any], Any], images: Any) -> FloatArray:
    import torch  # noqa: PLC0415

    with torch.no_grad():
        return normalise(network(images).numpy())


def _compile_apart(release: Release, batch: int) -> float | None:
    """Compile in a process that can be given up; its cache serves this one. Returns seconds; None if it failed."""
    began_s = time.monotonic()
    words = [sys.executable, "-m", "benchmarks.instruments.latency.rivals", str(release.folder), str(batch)]
    try:
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=_COMPILE_PATIENCE_S)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return round(time.monotonic() - began_s, 1)


def zoo_contestants(folder: Path, *, num_threads: int) -> tuple[list[Contestant], Missing]:
    """OpenVINO's public networks, in bfloat16 where the processor has it.

    Args:
        folder: Holds the networks as ONNX or as OpenVINO's XML.
        num_threads: Threads of one call; 0 for as many as OpenVINO chooses.
    """
    try:
        import openvino  # noqa: PLC0415 (an optional extra)
    except ImportError:
        return [], dict.fromkeys(ZOO, "OpenVINO is not installed: pip install 'osprey-reid[openvino]'")
    core: Any = openvino.Core()
    found: list[Contestant] = []
    missing: Missing = {}
    for name in ZOO:
        path = next((path for suffix in ("onnx", "xml") if (path := folder / f"{name}.{suffix}").is_file()), None)
        if path is None:
            missing[name] = "no file of it at hand: name its folder with --zoo DIR"
            continue
        found.append(_zoo_contestant(core, path, num_threads))
    return found, missing


def _zoo_contestant(core: Any, path: Path, num_threads: int) -> Contestant:
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32",
        "INFERENCE_NUM_THREADS": num_threads,
        "ENABLE_CPU_PINNING": False,
    }
    requests: dict[int, Any] = {}

    def request_of(batch: int) -> Any:
        if batch not in requests:
            model = core.read_model(str(path))
            _free_batch(model)
            model.reshape([batch, *list(model.inputs[0].partial_shape)[1:]])
            requests[batch] = core.compile_model(model, "CPU", config).create_infer_request()
        return requests[batch]

    def run(pixels: FloatArray) -> FloatArray:
        return normalise(request_of(len(pixels)).infer([pixels], share_inputs=True, share_outputs=True)[0])

    return Contestant(
        name=f"{path.stem.removeprefix('person-reidentification-')} {'bf16' if has_bf16 else 'fp32'}",
        prepare=lambda crops: crops.astype(np.float32),
        run=run,
        from_frame=lambda image, boxes: run(network_input(image, boxes).astype(np.float32)),
    )


def _free_batch(model: Any) -> None:
    """Let a network that was exported for one picture take any number: the shapes inside say 1 where they mean N."""
    opset13: Any = importlib.import_module("openvino.opset13")

    for node in model.get_ops():
        if node.get_type_name() == "Reshape" and node.output(0).partial_shape.is_static:
            first, *others = node.output(0).shape
            if first == 1 and others:
                free = opset13.constant(np.array([-1, *others]), dtype=np.int64)
                node.input(1).replace_source_output(free.output(0))


def _compile(folder: Path, batch: int) -> None:
    import torch  # noqa: PLC0415

    from reid.release import load_release  # noqa: PLC0415

    network: Any = torch.compile(load_network(load_release(folder)), dynamic=False)
    with torch.no_grad():
        network(torch.zeros(batch, 3, INPUT_HEIGHT_PX, INPUT_WIDTH_PX))


if __name__ == "__main__":
    _compile(Path(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # the compiler's workers would be waited for
