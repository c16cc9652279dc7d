"""Whether a process is still the one that was started: its number alone may be another's by now. Linux."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def started_at(pid: int) -> str:
    """When a process began, as a word that no other process with this number has; empty if there is none that runs."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    values = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if values[0] == "Z" else f"{boot}:{values[19]}"
