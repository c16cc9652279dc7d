"""Energy, where the machine tells: an NVIDIA card, an x86 processor, a Jetson. What does not tell says why."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.instruments.latency.contestants import Missing

_POWERCAP = Path("/sys/class/powercap")
_TEGRASTATS_INTERVAL_MS = 100
_WHOLE_BOARD = re.compile(r"(?:VDD_IN|POM_5V_IN|SYS5V)\s+(\d+)(?:mW)?/")


@dataclass(frozen=True)
class Meter:
    """Something that knows how much energy was used.

    Attributes:
        name: What it measures.
        joules: Energy used while it makes this call.
    """

    name: str
    joules: Callable[[Callable[[], object]], float]


def find_meters(powercap: Path = _POWERCAP) -> tuple[list[Meter], Missing]:
    """Meters of this machine, and why the others are missing."""
    meters: list[Meter] = []
    missing: Missing = {}
    for name, find in (("NVML", _find_nvml), ("RAPL", lambda: _find_rapl(powercap)), ("tegrastats", _find_tegrastats)):
        try:
            meters.append(find())
        except (OSError, RuntimeError) as error:
            missing[name] = str(error)
    return meters, missing


def joules_per_call(meter: Meter, call: Callable[[], object], *, seconds: float) -> float:
    """Energy of one call, from as many as fit into a time."""
    count = 0

    def work() -> None:
        nonlocal count
        until_s = time.monotonic() + seconds
        while not count or time.monotonic() < until_s:
            call()
            count += 1

    joules = meter.joules(work)
    return joules / count


def board_mw(line: str) -> float:
    """Power of the whole board in a line of tegrastats.

    Raises:
        ValueError: The line has none.
    """
    found = _WHOLE_BOARD.search(line)
    if found is None:
        raise ValueError(f"tegrastats says nothing of the board's power: {line[:120]!r}")
    return float(found[1])


def _find_nvml() -> Meter:
    try:
        pynvml: Any = importlib.import_module("pynvml")
    except ImportError:
        raise RuntimeError("pynvml is not installed: pip install nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(card)
    except pynvml.NVMLError as error:
        raise RuntimeError(f"the card tells nothing: {error}") from None

    def joules(work: Callable[[], object]) -> float:
        before_mj: int = pynvml.nvmlDeviceGetTotalEnergyConsumption(card)
        work()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card) - before_mj) / 1e3

    return Meter("NVML, the card", joules)


def _find_rapl(powercap: Path) -> Meter:
    zones = sorted(powercap.glob("intel-rapl:?"))
    if not zones:
        raise RuntimeError(f"{powercap} has no intel-rapl zone: this processor or its virtual machine does not tell")
    limits = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]

    def read() -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in zones]

    read()  # refused to whoever is not allowed to, which is better known now

    def joules(work: Callable[[], object]) -> float:
        before = read()
        work()
        spans = zip(before, read(), limits, strict=True)
        return sum((after - first) % limit for first, after, limit in spans) / 1e6

    return Meter("RAPL, processor packages", joules)


def _find_tegrastats() -> Meter:
    program = shutil.which("tegrastats")
    if program is None:
        raise RuntimeError("no tegrastats: this is no Jetson")

    def joules(work: Callable[[], object]) -> float:
        words = [program, "--interval", str(_TEGRASTATS_INTERVAL_MS)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            began_s = time.monotonic()
            try:
                work()
            finally:
                took_s = time.monotonic() - began_s
                process.terminate()
            lines = _lines(process)
        return took_s * sum(map(board_mw, lines)) / len(lines) / 1e3

    return Meter("tegrastats, the board", joules)


def _lines(process: Any) -> list[str]:
    lines = [line for line in process.stdout if line.strip()]
    if not lines:
        raise RuntimeError("tegrastats said nothing: measure for longer")
    return lines
