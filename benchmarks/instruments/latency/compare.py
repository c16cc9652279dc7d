"""What became slower, or worse, since an earlier run. Pure, but for reading the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.instruments.latency.table import table

_MORE_IS_BETTER = ("speedup", "cosine")
_MOST_COSINE_LOSS = 1e-3


@dataclass(frozen=True)
class Change:
    """One number in two runs.

    Attributes:
        name: What it is.
        old: Then.
        new: Now.
        factor: How many times worse it is now; below 1 it is better.
        is_regression: That is beyond the bound.
    """

    name: str
    old: float
    new: float
    factor: float
    is_regression: bool


def read_results(path: Path) -> dict[str, Any]:
    """A results file of this benchmark.

    Raises:
        ValueError: It is missing, or no such file.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results["figures"], dict) or not isinstance(results["details"], dict):
            raise TypeError("figures and details are no objects")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no results file of benchmarks.latency: {error}; give its latency.json") from None
    return dict(results)


def changes(old: Mapping[str, Any], new: Mapping[str, Any], *, bound: float) -> list[Change]:
    """Compare all that both runs measured, the worst first.

    Args:
        old: Results, as in the file.
        new: Likewise.
        bound: A number that is more than so many times worse is a regression; cosines may lose 0.001.
    """
    before, after = dict(_numbers(old)), dict(_numbers(new))
    found = [_change(name, before[name], after[name], bound) for name in before if name in after]
    return sorted(found, key=lambda change: -change.factor)


def comparison(found: Sequence[Change], old: Mapping[str, Any], new: Mapping[str, Any], *, bound: float) -> str:
    """Regressions and what came of the rest, as Markdown."""
    bad = [change for change in found if change.is_regression]
    lines = [f"Against commit {old.get('commit', 'unknown')} of {old.get('date', 'an unknown day')}:"]
    cpus = [run.get("hardware", {}).get("cpu", "unknown") for run in (old, new)]
    if cpus[0] != cpus[1]:
        lines.append(f"Another machine: {cpus[0]} then, {cpus[1]} now. What follows compares the two.")
    lines += ["", f"{len(bad)} of {len(found)} numbers are worse by more than {bound:g} times.", ""]
    shown = bad or found[:5]
    head = ("regression" if bad else "worst of all, within the bound", "then", "now", "times worse")
    rows = [(change.name, change.old, change.new, f"{change.factor:.2f}") for change in shown]
    return "\n".join([*lines, *table(head, rows)])


def _change(name: str, old: float, new: float, bound: float) -> Change:
    if "cosine" in name:
        factor = (1 - new + _MOST_COSINE_LOSS) / (1 - old + _MOST_COSINE_LOSS)
        return Change(name, old, new, factor, old - new > _MOST_COSINE_LOSS)
    worse, better = (old, new) if name.startswith(_MORE_IS_BETTER) else (new, old)
    factor = worse / better if better > 0 else float("inf") if worse > 0 else 1.0
    return Change(name, old, new, factor, factor > bound)


def _numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures, and the median of each spread of times."""
    yield from ((name, float(value)) for name, value in results["figures"].items())
    for part in ("model", "crops"):
        for batch, times in results["details"].get(part, {}).items():
            for name, spread in times.items():
                yield f"{part}, batch {batch}, {name}, p50_ms", float(spread["p50_ms"])
    for number, run in results["details"].get("streams", {}).items():
        yield f"frame to acknowledgement, {number} cameras, p50_ms", float(run["frame"]["p50_ms"])
