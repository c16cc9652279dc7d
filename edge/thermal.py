"""How warm this machine is, and whether it slows itself down because of that. Linux only; elsewhere nothing is known.

The kernel calls whatever can make heat less a cooling device: fans, but also processors and graphics cards that can be
run slower. One that is not a fan and not at rest is being throttled.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

THERMAL = Path("/sys/class/thermal")


def temperatures(thermal: Path = THERMAL) -> dict[str, float]:
    """Degrees Celsius of the thermal zones that can be read, by zone and type, such as `zone0 cpu-thermal`."""
    found: dict[str, float] = {}
    for zone in sorted(thermal.glob("thermal_zone*")):
        with suppress(OSError, ValueError):  # zones of parts that are off refuse to be read
            found[f"{zone.name.removeprefix('thermal_')} {_text(zone / 'type')}"] = int(_text(zone / "temp")) / 1000
    return found


def throttling(thermal: Path = THERMAL) -> dict[str, float]:
    """How far each kind of device that is no fan is slowed down, in [0, 1], such as `thermal-cpufreq-0`."""
    found: dict[str, float] = {}
    for device in sorted(thermal.glob("cooling_device*")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            kind = _text(device / "type")
            if "fan" not in kind.lower():
                share = int(_text(device / "cur_state")) / int(_text(device / "max_state"))
                found[kind] = max(found.get(kind, 0.0), share)
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
