"""What a check needs of the machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from edge.backends.tensorrt.embedder import find_gpu
from reid.errors import OspreyError


class MissingPartError(RuntimeError):
    """Something that a check needs is not on this machine."""


def need_gpu() -> None:
    """Go on only where TensorRT can run something.

    Raises:
        MissingPartError: No GPU, driver, CUDA library or TensorRT; says which.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            find_gpu(Path(folder))
        except OspreyError as error:
            raise MissingPartError(str(error)) from None


def need_torch_cuda() -> Any:
    """Torch, where it sees a GPU.

    Raises:
        MissingPartError: It is not installed, or sees none.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        raise MissingPartError("torch is not installed") from None
    if not torch.cuda.is_available():
        raise MissingPartError(f"torch {torch.__version__} sees no GPU")
    return torch
