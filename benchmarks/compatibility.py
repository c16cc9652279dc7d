"""Whether old and new embeddings stay comparable: without help, by alignment, by the compatibility term, by both.

OSNet x0.25 goes from MSMT17 weights to Market-1501 without labels, as a site's refresh does: a snapshot of 500 people,
`osprey-train adapt` from a release, with the term and without, a run a seed. Then 251 others are searched for: by new
queries in a gallery that the parent embedded, against the parent alone and the new release alone. The gallery is
searched crop by crop, and as means of tracklets, which is what a server keeps.

Runs lie in RUNS; complete ones are taken as they are, and one that was broken off is gone on with. An epoch of all
crops takes about 70 s on one core.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import RESULTS, Outcome, flags, publish
from benchmarks.instruments.compatibility_figures import (
    Candidate,
    figures_of,
    mean_figures,
    plot_compatibility,
    table,
)
from benchmarks.instruments.market_site import (
    MarketSite,
    add_market_flags,
    all_rows,
    read_market_site,
    why_not,
    write_market_snapshot,
)
from benchmarks.instruments.refresh_runs import RefreshRun, complete, import_parent
from benchmarks.instruments.retrieval import embed_people
from reid.release import Release

NAME = "compatibility"
_QUICK_PIDS = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, publish and plot."""
    chosen = _flags().parse_args(arguments)
    if why_not(NAME, chosen):
        return
    if chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            small = {"runs": Path(folder), "cache": Path(folder), "method": "refresh", "epochs": 1, "seeds": [1]}
            publish(NAME, measure(Namespace(**{**vars(chosen), **small}), num_pids=_QUICK_PIDS), quick=True)
        return
    outcome = measure(chosen)
    if not chosen.json:
        print(table(outcome.figures))
    publish(NAME, outcome, quick=False)
    plot_compatibility(RESULTS / f"{NAME}.png", outcome.figures)


def measure(chosen: Namespace, *, num_pids: int = 0) -> Outcome:
    """Complete the runs and search with what they made.

    Args:
        chosen: The command line.
        num_pids: Only so many people of each part; 0 for all.

    Raises:
        TrainingError: A folder holds a run of another task.
        CalledProcessError: A run failed; its error output was shown.
    """
    parent = import_parent(chosen.checkpoint, chosen.runs / "parent")
    market = read_market_site(chosen.data, chosen.cache, num_pids=num_pids)
    write_market_snapshot(chosen.runs / "snapshot", market, all_rows(market), parent=parent.ref.space)
    old = embed_people(market.test, parent.folder)
    of_seeds = {}
    for seed in chosen.seeds:
        plain, held = (_candidate(_run(chosen, seed, is_compatible=term), chosen, market) for term in (False, True))
        of_seeds[seed] = figures_of(old, plain, held)
    details = {
        "task": f"{chosen.method}, {chosen.epochs} epochs, from MSMT17 weights, {len(market.samples)} crops",
        "seeds": of_seeds,
    }
    return Outcome(figures=mean_figures(list(of_seeds.values())), details=details)


def _run(chosen: Namespace, seed: int, *, is_compatible: bool) -> RefreshRun:
    kind = "compatible" if is_compatible else "plain"
    return RefreshRun(
        folder=chosen.runs / f"{kind}-{seed}",
        snapshot=chosen.runs / "snapshot",
        parent=chosen.runs / "parent",
        method=chosen.method,
        seed=seed,
        num_epochs=chosen.epochs,
        is_compatible=is_compatible,
    )


def _candidate(run: RefreshRun, chosen: Namespace, market: MarketSite) -> Candidate:
    release: Release = complete(run, cache=chosen.cache)
    assert release.alignment is not None
    return Candidate(embed_people(market.test, release.folder), release.alignment)


def _flags() -> ArgumentParser:
    parser = flags(NAME, "Old and new embeddings side by side: the compatibility term, the alignment, both, neither.")
    add_market_flags(parser, NAME)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    return parser


if __name__ == "__main__":
    main()
