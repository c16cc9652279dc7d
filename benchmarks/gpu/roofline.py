"""Check 5: what the card can do (copy, product of matrices in fp16), and the share of it that the network reaches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu.needs import need_gpu, need_torch_cuda
from edge.backends.tensorrt.embedder import SIZES, open_tensorrt_embedder
from reid.release import Release

_SIDE = 8192
_COPY_BYTES = 1 << 30
_ROUNDS = 20


def run(release: Release, folder: Path, figures: dict[str, Any], details: dict[str, Any]) -> None:
    """Measure both roofs by events, then the engine in fp16 by the device's clock.

    Raises:
        MissingPartError: No torch with a GPU, or no TensorRT with one.
    """
    torch = need_torch_cuda()
    left = torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.float16)
    right = torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.float16)
    source = torch.empty(_COPY_BYTES, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    gemm_s = _seconds(torch, lambda: torch.mm(left, right))
    copy_s = _seconds(torch, lambda: target.copy_(source))
    figures["gemm_fp16_tmac_per_s"] = _SIDE**3 / gemm_s / 1e12
    figures["copy_gb_per_s"] = 2 * _COPY_BYTES / copy_s / 1e9
    need_gpu()
    _share(release, figures, details)


def _share(release: Release, figures: dict[str, Any], details: dict[str, Any]) -> None:
    from train.complexity import count_macs  # noqa: PLC0415 (imports torch)

    macs = count_macs(release.manifest.architecture)
    embedder = open_tensorrt_embedder(release, "fp16")
    for batch in (1, SIZES[-1]):
        seconds = embedder.device_ms(batch) / 1e3
        figures[f"share_of_gemm_b{batch}"] = batch * macs / seconds / 1e12 / figures["gemm_fp16_tmac_per_s"]
        details[f"device_ms_b{batch}"] = seconds * 1e3
    details |= {"macs_per_crop": macs, "weights_bytes": release.model_path_in("fp16").stat().st_size}


def _seconds(torch: Any, work: Callable[[], object]) -> float:
    for _ in range(3):
        work()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(_ROUNDS):
        work()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1e3 / _ROUNDS
