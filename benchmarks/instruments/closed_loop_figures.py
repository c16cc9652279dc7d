"""Figures of `benchmarks.closed_loop`: how well each release finds people, alone and beside those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.instruments.closed_loop_site import FALSE_MATCH_RATE
from benchmarks.instruments.retrieval import (
    EmbeddedPeople,
    Gallery,
    first_answers,
    mean_average_precision,
    negative_flip_rate,
)
from reid.alignment import Alignments, align
from reid.metrics import threshold_at_false_match_rate
from reid.release import Release
from server.adaptation.run import AdaptationRun
from train.calibrate import pair_similarities


@dataclass(frozen=True)
class Generation:
    """A release of the loop, and the test in its space.

    Attributes:
        release: The first, or one that the loop made.
        people: Embedded by it.
        refresh: What made it; None for the first.
    """

    release: Release
    people: EmbeddedPeople
    refresh: AdaptationRun | None = None

    @property
    def mean_average_precision(self) -> float:
        """Of crops that ask among crops, by this release alone, in percent."""
        return mean_average_precision(self.people.query, self.people.gallery)

    @property
    def rank_1(self) -> float:
        """Share of queries whose first answer is right, in percent."""
        return 100.0 * float(np.mean(first_answers(self.people.query, self.people.gallery)))

    @property
    def false_match_rate(self) -> float:
        """Share of pairs of tracklets of two people that match at the release's own threshold."""
        _, different = pair_similarities(*self.people.tracklets)
        return float(np.mean(different >= self.release.manifest.thresholds.match))

    @property
    def threshold_error(self) -> float:
        """How far that threshold lies from the one that labels would have given, for the parent's false-match rate."""
        right = threshold_at_false_match_rate(*pair_similarities(*self.people.tracklets), rate=FALSE_MATCH_RATE)
        return self.release.manifest.thresholds.match - right.similarity


def figures_of(
    generations: Sequence[Generation], reports: Sequence[Mapping[str, Mapping[str, Any]]]
) -> dict[str, float]:
    """All figures; those without a number are of the first release and the last.

    Args:
        generations: In the order of their making.
        reports: Of the edges, a stream each.
    """
    first, last = generations[0], generations[-1]
    figures = {
        "map_before": first.mean_average_precision,
        "r1_before": first.rank_1,
        "map_after": last.mean_average_precision,
        "r1_after": last.rank_1,
        "false_match_rate_before": first.false_match_rate,
        "false_match_rate_after": last.false_match_rate,
        "threshold_error_before": first.threshold_error,
        "threshold_error_after": last.threshold_error,
        "crop_bytes": float(sum(each.refresh.crop_bytes for each in generations if each.refresh is not None)),
        "frames_lost_to_swap": float(sum(_frames_lost(report) for part in reports[1:] for report in part.values())),
        "swap_gap_ms": max(float(report["refresh"]["gap_ms"]) for part in reports for report in part.values()),
        **_across(first, last, generations),
    }
    for number, (before, after) in enumerate(pairwise(generations), start=1):
        figures[f"map_{number}"] = after.mean_average_precision
        figures[f"r1_{number}"] = after.rank_1
        figures[f"threshold_error_{number}"] = after.threshold_error
        figures[f"crop_bytes_{number}"] = float(after.refresh.crop_bytes) if after.refresh is not None else 0.0
        figures |= {f"{name}_{number}": value for name, value in _across(before, after, generations).items()}
    return figures


def table(figures: Mapping[str, float], num_refreshes: int) -> str:
    """The refreshes, as Markdown."""
    lines = [
        "| refresh | mAP | R1 | crops, MB | new queries, old gallery: raw | aligned | update gain | negative flips |",
        "|---|---|---|---|---|---|---|---|",
        f"| none | {figures['map_before']:.1f} | {figures['r1_before']:.1f} | | | | | |",
    ]
    for number in range(1, num_refreshes + 1):
        cells = (
            f"{figures[f'map_{number}']:.1f}",
            f"{figures[f'r1_{number}']:.1f}",
            f"{figures[f'crop_bytes_{number}'] / 1e6:.1f}",
            f"{figures[f'cross_test_raw_map_{number}']:.1f}",
            f"{figures[f'cross_test_map_{number}']:.1f}",
            f"{figures[f'update_gain_{number}']:.2f}",
            f"{figures[f'negative_flip_rate_{number}']:.3f}",
        )
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot_loop(path: Path, figures: Mapping[str, float], num_refreshes: int) -> None:
    """Draw mAP against refreshes, and against the bytes of crops that were sent.

    Args:
        path: PNG file to write.
        figures: See `figures_of`.
        num_refreshes: In a row.
    """
    numbers = range(1, num_refreshes + 1)
    scores = [figures["map_before"], *(figures[f"map_{number}"] for number in numbers)]
    sent_mb = np.cumsum([0.0, *(figures[f"crop_bytes_{number}"] / 1e6 for number in numbers)])
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    places = ((np.arange(num_refreshes + 1.0), "refreshes"), (sent_mb, "crops sent by all edges, MB"))
    for axes, (places_x, name) in zip(figure.subplots(1, 2, sharey=True), places, strict=True):
        axes.plot(places_x, scores, marker="o", label="this release alone")
        cross = [figures[f"cross_test_map_{number}"] for number in numbers]
        axes.plot(places_x[1:], cross, marker="s", linestyle="--", label="new queries, gallery of the one before")
        if "map_offline_all_crops" in figures:
            label = "one such run on all crops, offline"
            axes.axhline(figures["map_offline_all_crops"], color="C2", linewidth=1, label=label)
        axes.set_xlabel(name)
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("mAP of 251 unseen people, %")
    figure.axes[0].set_xticks(list(range(num_refreshes + 1)))
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)


def _across(old: Generation, new: Generation, generations: Sequence[Generation]) -> dict[str, float]:
    """New queries in an old gallery, as it is and mapped along the chain of releases."""
    matrix = _chain(generations).between(old.release.ref.space, new.release.ref.space)
    assert matrix is not None, "every refresh makes another space"
    raw: Gallery = old.people.gallery
    aligned: Gallery = align(raw[0], matrix), raw[1]
    old_old = old.mean_average_precision
    cross = mean_average_precision(new.people.query, aligned)
    answers = first_answers(old.people.query, raw)
    return {
        "old_old_map": old_old,
        "cross_test_map": cross,
        "cross_test_raw_map": mean_average_precision(new.people.query, raw),
        "update_gain": (cross - old_old) / (new.mean_average_precision - old_old),
        "negative_flip_rate": negative_flip_rate(answers, first_answers(new.people.query, new.people.gallery)),
        "cross_negative_flip_rate": negative_flip_rate(answers, first_answers(new.people.query, aligned)),
    }


def _chain(generations: Sequence[Generation]) -> Alignments:
    links = {}
    for each in generations:
        if each.release.alignment is not None and each.release.manifest.parent:
            links[each.release.ref.space] = (each.release.manifest.parent, each.release.alignment)
    return Alignments(links)


def _frames_lost(report: Mapping[str, Any]) -> int:
    cameras = report["cameras"].values()
    return sum(camera["dropped"] + camera["frames_skipped"] + sum(camera["faults"].values()) for camera in cameras)
