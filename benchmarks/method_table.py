"""The systems of the literature on one real task: what each gains over direct transfer, and what it takes.

Direct transfer, ECN, MAR, Cluster-Contrast, ISE, and ISE with the source (`benchmarks.instruments.method_runs` has the
task); two seeds each. Every run goes through `osprey-train` into RUNS/METHOD-SEED: a complete one is taken as it is,
one that was broken off is gone on with, one of another recipe is refused. All of it takes hours; `--collect-only`
publishes what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.instruments.method_runs import parser, publish_quick, publish_runs, run_of, skip_without_data
from reid.logs import configure_logs

NAME = "method_table"
METHODS = ("ecn", "mar", "cluster-contrast", "ise", "ise-source")
QUICK_METHODS = ("ecn", "mar", "ise-source")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, publish and plot."""
    chosen = parser(NAME, "Direct transfer and five methods on one real task.", METHODS).parse_args(arguments)
    if skip_without_data(NAME, chosen):
        return
    configure_logs(level="warning")
    if chosen.quick:
        publish_quick(NAME, chosen, QUICK_METHODS)
    else:
        publish_runs(NAME, chosen, [run_of(method, seed, chosen) for method in chosen.methods for seed in chosen.seeds])


if __name__ == "__main__":
    main()
