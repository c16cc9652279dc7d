"""The whole loop on real people, without labels and without anybody's hand: stream, ask, adapt, judge, sign, roll out.

Six real edges replay 500 people of Market-1501 (`instruments.market_video`) to a real server, over TLS, from weights
trained on MSMT17. A third of the recordings at a time is streamed; then the server asks the edges' rings for crops,
adapts, judges what came out without labels, and rolls it out to the edges while they work on the next third. After each
refresh 251 other people are searched for, with labels: by the new release alone, and with new queries in the galleries
that the releases before it embedded.

What the gate refuses is rolled out all the same, by force, so that every refresh is measured: `num_refused` counts
them, and the details name them.

The last refresh changes the edges while they see the first third once more: nothing is left then that they have not
seen. Frames that an edge lost count from its first refresh on.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import RESULTS, Outcome, flags, publish
from benchmarks.instruments.closed_loop_figures import Generation, figures_of, plot_loop, table
from benchmarks.instruments.closed_loop_site import LoopSite, calibrated_parent
from benchmarks.instruments.market_site import (
    MarketSite,
    add_market_flags,
    all_rows,
    read_market_site,
    why_not,
    write_market_snapshot,
)
from benchmarks.instruments.market_video import parts_in_time, write_videos
from benchmarks.instruments.refresh_runs import RefreshRun, complete
from benchmarks.instruments.retrieval import embed_people
from reid.release import Release, load_release

NAME = "closed_loop"
_QUICK_PIDS = 12
_SEED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the loop, publish and plot."""
    chosen = _flags().parse_args(arguments)
    if why_not(NAME, chosen):
        return
    if chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            small = {"runs": Path(folder), "method": "refresh", "epochs": 1, "refreshes": 1, "offline": False}
            publish(NAME, measure(Namespace(**{**vars(chosen), **small}), num_pids=_QUICK_PIDS), quick=True)
        return
    outcome = measure(chosen)
    if not chosen.json:
        print(table(outcome.figures, chosen.refreshes))
    publish(NAME, outcome, quick=False)
    plot_loop(RESULTS / f"{NAME}.png", outcome.figures, chosen.refreshes)


def measure(chosen: Namespace, *, num_pids: int = 0) -> Outcome:
    """Run the loop from an empty folder, and search with every release that it made.

    Args:
        chosen: The command line.
        num_pids: Only so many people of each part; 0 for all.

    Raises:
        DemoError: A process failed, or took too long.
        CalledProcessError: The adaptation with all crops failed; its error output was shown.
    """
    market = read_market_site(chosen.data, chosen.cache, num_pids=num_pids)
    parent = calibrated_parent(chosen.checkpoint, chosen.runs / "parent", market.test)
    parts = parts_in_time(market.samples, chosen.refreshes)
    videos = [write_videos(part, chosen.runs / f"part-{number}") for number, part in enumerate(parts, start=1)]
    generations = [Generation(parent, embed_people(market.test, parent.folder))]
    with LoopSite(chosen.runs / "site", parent, method=chosen.method, epochs=chosen.epochs) as site:
        site.play(videos[0])
        for number in range(1, chosen.refreshes + 1):
            refresh = site.refresh()
            site.play(videos[number % chosen.refreshes], while_rolling_out=refresh.space)
            release = load_release(site.release_folder(refresh.space))
            generations.append(Generation(release, embed_people(market.test, release.folder), refresh))
    figures = figures_of(generations, site.reports)
    figures["num_refused"] = float(sum(told["forced"] for told in site.told))
    if chosen.offline:
        figures["map_offline_all_crops"] = _offline(chosen, market, parent)
    details = {"task": f"{chosen.method}, {chosen.epochs} epochs, from MSMT17 weights", "refreshes": site.told}
    return Outcome(figures=figures, details=details)


def _offline(chosen: Namespace, market: MarketSite, parent: Release) -> float:
    """MAP after one adaptation with all crops of the data set at once, by the same recipe."""
    snapshot = chosen.runs / "all-crops"
    write_market_snapshot(snapshot, market, all_rows(market), parent=parent.ref.space)
    run = RefreshRun(
        folder=chosen.runs / "offline",
        snapshot=snapshot,
        parent=parent.folder,
        method=chosen.method,
        seed=_SEED,
        num_epochs=chosen.epochs,
    )
    release = complete(run, cache=chosen.cache)
    return Generation(release, embed_people(market.test, release.folder)).mean_average_precision


def _flags() -> ArgumentParser:
    parser = flags(NAME, "Refreshes in a row on real people, by real processes, without labels.")
    add_market_flags(parser, NAME)
    parser.add_argument("--epochs", type=int, default=20, help="of each training")
    parser.add_argument("--refreshes", type=int, default=3, help="in a row")
    parser.add_argument("--no-offline", dest="offline", action="store_false", help="leave out the run on all crops")
    return parser


if __name__ == "__main__":
    main()
