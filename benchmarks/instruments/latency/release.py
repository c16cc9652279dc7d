"""Releases to swap to: the weights of one, each tensor scaled a little, sealed under another version and space."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from reid.embedder import OnnxEmbedder
from reid.release import GOLDEN_FILE, MODEL_FILES, WEIGHTS_FILE, Precision, Release, load_release, write_release
from reid.types import AnyArray

SCALABLE: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
"""Precisions that such a release can run in."""
_LEAST_NUMBERS = 16
"""Smaller tensors belong to the preprocessing inside the graph, and stay as they are."""
_MOST_SCALED = 0.05


def other_release(release: Release, folder: Path, *, number: int) -> Release:
    """Make a release with other weights, in fp32 and, where the original has a graph in it, fp16.

    Args:
        release: The original.
        folder: Made anew.
        number: Another number, other weights.

    Raises:
        RuntimeError: A library that it takes is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 (a device has none)
        import safetensors.numpy  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError(f"no second release could be made ({error}): pip install onnx safetensors") from None
    folder.mkdir(parents=True)
    for precision in set(release.precisions) & set(SCALABLE):
        model = onnx.load(str(release.model_path_in(precision)))
        for tensor in model.graph.initializer:
            scaled = _scaled(onnx.numpy_helper.to_array(tensor), tensor.name, number)
            tensor.CopyFrom(onnx.numpy_helper.from_array(scaled, tensor.name))
        onnx.save(model, str(folder / MODEL_FILES[precision]))
    weights = safetensors.numpy.load_file(release.folder / WEIGHTS_FILE)
    safetensors.numpy.save_file(
        {name: _scaled(weight, name, number) for name, weight in weights.items()}, folder / WEIGHTS_FILE
    )
    _seal(folder, release, number)
    return load_release(folder)


def _scaled(weight: AnyArray, name: str, number: int) -> AnyArray:
    if weight.dtype not in (np.float32, np.float16) or weight.size < _LEAST_NUMBERS:
        return weight
    share = zlib.crc32(f"{name} {number}".encode()) / 2**32
    return np.ascontiguousarray(weight * weight.dtype.type(1 + _MOST_SCALED * share))


def _seal(folder: Path, release: Release, number: int) -> None:
    crops = release.golden.crops
    np.savez_compressed(folder / GOLDEN_FILE, crops=crops, embeddings=release.golden.embeddings)
    version = f"{release.manifest.version}.{number}"
    values: dict[str, Any] = release.manifest.model_dump(exclude={"sha256"})
    values |= {"version": version, "space": f"{release.manifest.space}.{number}", "parent": release.manifest.space}
    embeddings = OnnxEmbedder(write_release(folder, values)).embed(crops)
    np.savez_compressed(folder / GOLDEN_FILE, crops=crops, embeddings=embeddings)
    write_release(folder, values)
