"""The ablations that the papers show, on the task of `benchmarks.method_table`: which part of a system does what.

ECN's three invariances and the styles of its cameras (none, colours, Fourier amplitudes, a StarGAN), MAR's terms, ISE's
extension (PLI) and label-preserving loss (LP), and the streams and the gate of OSNet, which is trained from scratch for
that: a recipe for each row. Runs are kept and gone on with as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.instruments.method_runs import (
    parser,
    publish_quick,
    publish_runs,
    run_of,
    skip_without_data,
    trained_style,
)
from reid.logs import configure_logs
from train.recipes.ablations import OSNET_ABLATIONS

NAME = "ablations"
GROUPS: dict[str, tuple[str, ...]] = {
    "ecn": ("ecn-source", "ecn-site", "ecn-exemplar", "ecn-exemplar-camera", "ecn-exemplar-neighbourhood", "ecn"),
    "styles": ("ecn-exemplar-neighbourhood", "ecn", "ecn-fourier", "ecn-stargan"),
    "mar": ("mar-source", "mar-no-discrimination", "mar-no-consistency", "mar-no-joint", "mar"),
    "ise": ("cluster-contrast", "ise-pli", "ise-lp", "ise"),
    "osnet": tuple(OSNET_ABLATIONS),
}
"""Rows of each table; the whole system comes last, but for `osnet`, where it comes first."""
QUICK_METHODS = ("ecn-exemplar", "ise-lp")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, publish and plot."""
    made = parser(NAME, "Parts of ECN, MAR, ISE and OSNet, one left out at a time.", _rows(list(GROUPS)))
    made.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="whose parts")
    made.add_argument("--styles", type=Path, help="a StarGAN of style-transfer; else one is trained first, in --runs")
    chosen = made.parse_args(arguments)
    if skip_without_data(NAME, chosen):
        return
    configure_logs(level="warning")
    if chosen.quick:
        publish_quick(NAME, chosen, QUICK_METHODS)
        return
    methods = [method for method in _rows(chosen.groups) if method in chosen.methods]
    if "ecn-stargan" in methods and not chosen.collect_only:
        chosen.styles = chosen.styles or trained_style(chosen)
    publish_runs(NAME, chosen, [run_of(method, seed, chosen) for method in methods for seed in chosen.seeds])


def _rows(groups: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(method for group in groups for method in GROUPS[group]))


if __name__ == "__main__":
    main()
