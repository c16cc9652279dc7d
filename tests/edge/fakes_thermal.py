"""A machine's thermal zones and cooling devices, as the kernel shows them."""

from __future__ import annotations

from pathlib import Path


def write_zone(thermal: Path, number: int, kind: str, temp: str) -> None:
    _write(thermal / f"thermal_zone{number}", type=kind, temp=temp)


def write_device(thermal: Path, number: int, kind: str, *, state: str, most: str) -> None:
    _write(thermal / f"cooling_device{number}", type=kind, cur_state=state, max_state=most)


def _write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n")
