"""A short table of what the checks found, from their files.

    python -m benchmarks.gpu.summary [CHECK …]

Its exit status is 1 where a check failed that could run; what the machine lacks is no failure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.check import CHECKS, STATUS, line_of


def main(arguments: Sequence[str] | None = None, *, folder: Path = STATUS) -> int:
    """Print the table; returns the exit status."""
    checks = list(arguments) if arguments else list(CHECKS)
    found = {check: _read(folder / f"gpu_{check}.json") for check in checks}
    card = next(
        (f"{one['card']}, driver {one['driver']}, {one['date']}" for one in found.values() if one), "no check ran"
    )
    print(card)
    for check, one in found.items():
        print(f"{check:10} {line_of(one) if one else 'FAILED: it wrote no results'}")
    return int(any(not one or "failed" in one for one in found.values()))


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
