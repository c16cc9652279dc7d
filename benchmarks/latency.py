"""How long it takes, on this machine: model, crops, frames to acknowledgements, and a change of release under load.

Every back end and precision that runs here is timed, in turn with the same OSNet in torch (eager in the manner of
published feature extractors, and compiled) and with public networks of another make. Then real cameras' streams go
through a real agent to a real server, and releases are installed while batches run. What this machine cannot measure is
named with its reason. The headline is of the fastest back end whose cosine to fp32 is 0.999 or more.

`--compare OLD.json` also shows what became worse since then, and exits with 1 if something did beyond the bound; with
`--compare OLD.json NEW.json` nothing is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from benchmarks.harness import RESULTS, ROOT, Outcome, flags, publish
from benchmarks.instruments.latency.compare import changes, comparison, read_results
from benchmarks.instruments.latency.course import PARTS, Course, Effort
from benchmarks.instruments.latency.plot import plot_latency
from benchmarks.instruments.latency.table import insert, markdown
from edge.settings import SHIPPED_RELEASE
from reid.machine import cpu_name
from reid.release import load_release

NAME = "latency"
_PAGE = ROOT / "docs" / "latency.md"
_BOUND = 1.25
_FULL = Effort()
_QUICK = Effort(
    batches=(1, 32), crop_batches=(1, 32), times_s=0.2, cameras=(1,), stream_s=3.0, warm_up_s=1.0, swaps=1,
    calm_s=0.5, pictures=20, compiles=False, all_swaps=False, costs=False,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish, plot, and compare."""
    chosen = _parse(arguments)
    if len(chosen.compare) == 2:
        sys.exit(_compare(chosen.compare[0], read_results(chosen.compare[1]), bound=chosen.bound))
    old = read_results(chosen.compare[0]) if chosen.compare else None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    say = _say_nothing if chosen.json else _say
    course = Course(
        load_release(chosen.release),
        _QUICK if chosen.quick else _FULL,
        num_threads=chosen.threads,
        zoo=chosen.zoo,
        say=say,
    )
    figures, details = course.run(chosen.parts)
    text = markdown(figures, details)
    say(text)
    is_whole = not chosen.quick and set(chosen.parts) == set(PARTS)
    line = publish(NAME, Outcome(figures=figures, details=details), quick=not is_whole)
    if is_whole:
        plot_latency(RESULTS / f"{NAME}.png", details)
        insert(_PAGE, text)
    if old is not None:
        sys.exit(
            _compare(
                chosen.compare[0],
                {**line, "details": details, "hardware": {"cpu": cpu_name()}},
                bound=chosen.bound,
                old=old,
            )
        )


def _compare(path: Path, new: dict[str, Any], *, bound: float, old: dict[str, Any] | None = None) -> int:
    """Show what became worse, on stderr, where it does not follow the last line of stdout; returns the exit status."""
    old = old or read_results(path)
    found = changes(old, new, bound=bound)
    print(comparison(found, old, new, bound=bound), file=sys.stderr)
    return int(any(change.is_regression for change in found))


def _say(text: str) -> None:
    print(text, flush=True)


def _say_nothing(_: str) -> None:
    """With `--json`."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = flags(NAME, "Latency on this machine, beside rivals.")
    data = Path(os.environ.get("OSPREY_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--release", type=Path, default=SHIPPED_RELEASE, help="folder of the release")
    parser.add_argument("--threads", type=int, default=0, help="of one call; 0: as many as there are cores")
    parser.add_argument(
        "--zoo",
        type=Path,
        default=data / "openvino_reid_onnx",
        help="folder with person-reidentification-retail-0287 and -0288 as .onnx or .xml, for comparison",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these; writes no results")
    parser.add_argument("--compare", type=Path, nargs="+", default=[], metavar="JSON", help="an earlier results file")
    parser.add_argument("--bound", type=float, default=_BOUND, help="so many times worse is a regression")
    chosen = parser.parse_args(arguments)
    if len(chosen.compare) > 2:
        parser.error("--compare takes one file, or two that are compared with each other")
    return chosen


if __name__ == "__main__":
    main()
