"""Names the machine that something was measured on."""

from __future__ import annotations

import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def cpu_name(info: Path = _CPU_INFO) -> str:
    """The processor's model; its architecture where the system does not tell more, as on many ARM boards.

    Args:
        info: Lines `key : value`, as Linux gives them.
    """
    try:
        lines = info.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"
