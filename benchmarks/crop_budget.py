"""How much of what all crops teach do some of them teach: three ways to choose, at five budgets.

OSNet x0.25 goes from MSMT17 weights to Market-1501 without labels. Of the 500 people's crops a share is chosen as a
server chooses (`server.crops.selection`, on embeddings by the parent), and `osprey-train adapt` runs on a snapshot of
them; 251 others are the test. Every run takes as many steps, whatever its budget.

Runs lie in RUNS; complete ones are taken as they are, and one that was broken off is gone on with. The 26 runs of the
full form take hours: `--shares`, `--strategies` and `--seeds` choose among them.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, Outcome, flags, publish
from benchmarks.instruments.crop_budget_figures import ALL, STRATEGIES, Point, figures_of, plot_budgets, table
from benchmarks.instruments.market_site import (
    MarketSite,
    add_market_flags,
    all_rows,
    embed_site,
    read_market_site,
    why_not,
    write_market_snapshot,
)
from benchmarks.instruments.refresh_runs import RefreshRun, complete, import_parent
from benchmarks.instruments.retrieval import embed_people, mean_average_precision
from reid.release import Release
from reid.types import FloatArray, IntArray
from server.crops.selection import select_rows
from server.crops.settings import CropSettings

NAME = "crop_budget"
_QUICK = {"method": "refresh", "epochs": 1, "seeds": [1], "shares": [0.5], "strategies": ["diverse"]}
_QUICK_PIDS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, publish and plot."""
    chosen = _flags().parse_args(arguments)
    if why_not(NAME, chosen):
        return
    if chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            small = {**_QUICK, "runs": Path(folder), "cache": Path(folder)}
            publish(NAME, measure(Namespace(**{**vars(chosen), **small}), num_pids=_QUICK_PIDS), quick=True)
        return
    outcome = measure(chosen)
    points = [Point(**point) for point in outcome.details["points"]]
    if not chosen.json:
        print(table(outcome.figures["map_direct"], points))
    publish(NAME, outcome, quick=False)
    plot_budgets(RESULTS / f"{NAME}.png", outcome.figures["map_direct"], points)


def measure(chosen: Namespace, *, num_pids: int = 0) -> Outcome:
    """Choose crops, complete the runs on them and search with what they made.

    Args:
        chosen: The command line.
        num_pids: Only so many people of each part; 0 for all.

    Raises:
        TrainingError: A folder holds a run of another task.
        CalledProcessError: A run failed; its error output was shown.
    """
    parent = import_parent(chosen.checkpoint, chosen.runs / "parent")
    market = read_market_site(chosen.data, chosen.cache, num_pids=num_pids)
    feats = embed_site(market.site, parent.folder)
    points = [
        _point(chosen, market, feats, parent, strategy=strategy, share=share, seed=seed)
        for seed in chosen.seeds
        for share in sorted(chosen.shares, reverse=True)
        for strategy in ([ALL] if share >= 1 else chosen.strategies)
    ]
    old = embed_people(market.test, parent.folder)
    direct = mean_average_precision(old.query, old.gallery)
    details = {
        "task": f"{chosen.method}, {chosen.epochs} epochs, from MSMT17 weights, {len(market.samples)} crops in all",
        "points": [point._asdict() for point in points],
    }
    return Outcome(figures=figures_of(direct, points), details=details)


def choose(market: MarketSite, feats: FloatArray, *, strategy: str, share: float, seed: int) -> IntArray:
    """Rows of the crops that a server would ask for within a budget.

    Args:
        market: The site.
        feats: Its crops as the parent embeds them.
        strategy: One of `STRATEGIES`, or `ALL`.
        share: Of all crops.
        seed: Of the draws.
    """
    if strategy == ALL:
        return all_rows(market)
    return select_rows(
        feats,
        market.site.tracklets,
        market.site.camids,
        market.times_us,
        np.ones(len(feats), dtype=np.float32),
        strategy=strategy,  # type: ignore[arg-type]
        max_crops=round(share * len(feats)),
        seed=seed,
        crops_per_tracklet=CropSettings().crops_per_tracklet,
    )


def _point(
    chosen: Namespace,
    market: MarketSite,
    feats: FloatArray,
    parent: Release,
    *,
    strategy: str,
    share: float,
    seed: int,
) -> Point:
    name = f"{strategy}-{round(100 * share)}-{seed}"
    rows = choose(market, feats, strategy=strategy, share=share, seed=seed)
    snapshot = chosen.runs / "snapshots" / name
    write_market_snapshot(snapshot, market, rows, parent=parent.ref.space)
    run = RefreshRun(
        folder=chosen.runs / name,
        snapshot=snapshot,
        parent=parent.folder,
        method=chosen.method,
        seed=seed,
        num_epochs=chosen.epochs,
    )
    people = embed_people(market.test, complete(run, cache=chosen.cache).folder)
    score = mean_average_precision(people.query, people.gallery)
    return Point(strategy, share, seed, len(rows), score)


def _flags() -> ArgumentParser:
    parser = flags(NAME, "What a share of a site's crops teaches, by how they are chosen.")
    add_market_flags(parser, NAME)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    return parser


if __name__ == "__main__":
    main()
