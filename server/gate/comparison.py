"""Candidate against parent on held-out tracklets: pure decisions on embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid.alignment import align
from reid.types import BoolArray, FloatArray
from server.gate.measures import (
    Bounds,
    Tracklets,
    Values,
    Views,
    agreements,
    apart_similarities,
    bootstrap_mean,
    crossings,
    d_prime,
    effective_rank,
    false_match_rate,
    mean_similarity,
    own_ranks,
    round_trips,
    separations,
    view,
)
from server.gate.settings import GateSettings
from server.gate.verdict import Check, at_least, at_most


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One release on the held-out tracklets.

    Attributes:
        views: Its embeddings of them.
        is_found: (T,) whether each head finds its own tail first within its camera.
        precisions: (T,) average precision of that search: one tail is right, so 1 / its rank.
        crossings: (T,) see `measures.crossings`.
        separations: (T,) see `measures.separations`.
        agreements: (T,) see `measures.agreements`.
        round_trips: (T,) see `measures.round_trips`.
        within: (T,) similarity of head and tail.
        apart: Similarities of pairs of two people.
    """

    views: Views
    is_found: BoolArray
    precisions: Values
    crossings: Values
    separations: Values
    agreements: Values
    round_trips: Values
    within: FloatArray
    apart: FloatArray


def measure(embeddings_ND: FloatArray, tracklets: Tracklets, settings: GateSettings) -> Measured:
    """Measure one release.

    Args:
        embeddings_ND: (N, D) float32, unit norm, of the held-out crops.
        tracklets: Of these crops.
        settings: How many neighbours count.

    Raises:
        EmbeddingError: Crops of a tracklet cancel each other out.
    """
    views = view(embeddings_ND, tracklets)
    ranks = own_ranks(views.heads, views.tails, tracklets)
    return Measured(
        views=views,
        is_found=ranks == 1,
        precisions=1.0 / ranks,
        crossings=crossings(views, tracklets),
        separations=separations(views.heads, views.tails, tracklets),
        agreements=agreements(views, tracklets, num_neighbours=settings.num_neighbours),
        round_trips=round_trips(views, tracklets),
        within=np.sum(views.heads * views.tails, axis=1),
        apart=apart_similarities(views.heads, views.tails, tracklets),
    )


def compare(parent: Measured, candidate: Measured, settings: GateSettings) -> list[Check]:
    """Check that the candidate is better than its parent where that can be told, and not worse elsewhere."""
    return [
        *_gain(parent, candidate, settings),
        _not_lower(
            "retrieval",
            "tracklet mAP",
            parent.precisions,
            candidate.precisions,
            settings.retrieval_margin,
            settings,
        ),
        _not_lower(
            "agreement",
            "agreement of head and tail on other cameras",
            parent.agreements,
            candidate.agreements,
            settings.agreement_margin,
            settings,
        ),
        _not_lower(
            "round_trip",
            "way to other cameras and back",
            parent.round_trips,
            candidate.round_trips,
            settings.round_trip_margin,
            settings,
        ),
        _false_matches(parent, candidate, settings),
        _flips(parent, candidate, settings),
        _collapse(parent, candidate, settings),
        _rank(parent, candidate, settings),
    ]


def check_cross(
    parent: Measured, candidate: Measured, alignment: FloatArray, tracklets: Tracklets, settings: GateSettings
) -> Check:
    """New heads search old tails: what a gallery that was aligned, not embedded again, is asked.

    Args:
        parent: Its views lie in its own space.
        candidate: The same.
        alignment: (D, D) from the parent's space into the candidate's.
        tracklets: Of the held-out crops.
        settings: The margin.
    """
    old_tails = align(parent.views.tails, alignment)
    cross = 1.0 / own_ranks(candidate.views.heads, old_tails, tracklets)
    text = "tracklet mAP on the parent's tails, its own heads -> new heads,"
    return _not_lower("compatibility", text, parent.precisions, cross, settings.cross_margin, settings)


def check_colours(usual: Values, exchanged: Values, settings: GateSettings) -> Check:
    """Red and blue in their right order must not serve the candidate worse than the wrong one.

    Args:
        usual: (T,) separations on crops as they are.
        exchanged: (T,) on the same crops with red and blue exchanged.
        settings: For the interval.
    """
    gain = _interval(exchanged - usual, settings)
    return at_most("colours", gain.low, 0.0, "low end of what exchanging red and blue would gain in separation")


def check_threshold(
    parent: Measured, parent_match: float, candidate: Measured, match: float, settings: GateSettings
) -> list[Check]:
    """The candidate's own threshold must tell people apart and let one person match, unless the parent's lets fewer."""
    false_matches = float(np.mean(candidate.apart >= match))
    recall = float(np.mean(candidate.within >= match))
    least_recall = min(settings.least_threshold_recall, float(np.mean(parent.within >= parent_match)))
    return [
        at_most(
            "threshold_false_matches",
            false_matches,
            settings.max_threshold_false_matches,
            f"share of pairs of two people that match at the threshold {match:.3f}",
        ),
        at_least(
            "threshold_recall",
            recall,
            least_recall,
            f"share of tracklets whose ends match at the threshold {match:.3f}",
        ),
    ]


def figures_of(name: str, measured: Measured, settings: GateSettings) -> dict[str, float]:
    """What was measured of one release, for the record, under `NAME_…`."""
    figures = {
        "tracklet_map": float(measured.precisions.mean()),
        "tracklet_r1": float(measured.is_found.mean()),
        "crossing": _mean(measured.crossings),
        "separation": _mean(measured.separations),
        "agreement": _mean(measured.agreements),
        "round_trip": _mean(measured.round_trips),
        "d_prime": d_prime(measured.within, measured.apart),
        "mean_similarity": mean_similarity(measured.views.means),
        "effective_rank": effective_rank(measured.views.means),
    }
    return {f"{name}_{key}": value for key, value in figures.items()}


def _gain(parent: Measured, candidate: Measured, settings: GateSettings) -> list[Check]:
    """Better between cameras, and not worse within them; where there is one camera, better within it."""
    if np.isnan(candidate.crossings - parent.crossings).all():
        return [_better("separation", parent.separations, candidate.separations, settings)]
    return [
        _better("crossing", parent.crossings, candidate.crossings, settings),
        _not_lower(
            "separation",
            "separation within a camera",
            parent.separations,
            candidate.separations,
            settings.separation_margin,
            settings,
        ),
    ]


def _better(name: str, parent: Values, candidate: Values, settings: GateSettings) -> Check:
    gain, least = _interval(candidate - parent, settings), settings.least_gain
    is_passed = gain.low > least
    why = "" if is_passed else ": not better than its parent"
    reason = (
        f"gain in {name} over the parent {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] standard deviations, "
        f"its low end {gain.low:+.3f}, wanted above {least:g}{why}"
    )
    return Check(name=name, value=gain.low, bound=least, is_passed=is_passed, reason=reason)


def _not_lower(name: str, text: str, parent: Values, candidate: Values, margin: float, settings: GateSettings) -> Check:
    """Lower by more than the margin fails, unless that may be chance: the interval then reaches up to the parent."""
    if np.isnan(candidate - parent).all():
        return at_least(name, 0.0, -margin, f"{text}: no tracklet has one here, so its change")
    change = _interval(candidate - parent, settings)
    is_passed = change.mean >= -margin or change.high >= 0
    luck = ", but that may be chance" if is_passed and change.mean < -margin else ""
    reason = (
        f"{text} {_mean(parent):.3f} -> {_mean(candidate):.3f}, a change of {change.mean:+.3f} "
        f"[{change.low:+.3f}, {change.high:+.3f}], wanted at least {-margin:+.3f}{luck}"
    )
    return Check(name=name, value=change.mean, bound=-margin, is_passed=is_passed, reason=reason)


def _false_matches(parent: Measured, candidate: Measured, settings: GateSettings) -> Check:
    old, new = (false_match_rate(of.within, of.apart, recall=settings.recall) for of in (parent, candidate))
    text = f"share of pairs of two people that match where {settings.recall:.0%} of tracklets do (parent {old:.3f})"
    return at_most("false_matches", new, old + settings.false_match_margin, text)


def _flips(parent: Measured, candidate: Measured, settings: GateSettings) -> Check:
    """Many lost tracklets fail, unless as many are newly found: the interval of the change then reaches up to 0."""
    share = float(np.mean(parent.is_found & ~candidate.is_found))
    change = _interval(candidate.is_found.astype(np.float64) - parent.is_found, settings)
    bound = max(settings.max_negative_flips, 1.0 / len(parent.is_found))  # a single tracklet is never too many
    is_passed = share <= bound or change.high >= 0
    excuse = ", but as many are newly found" if is_passed and share > bound else ""
    reason = (
        f"share of tracklets that the parent finds and the candidate does not {share:.3f}, the other way "
        f"{share + change.mean:.3f}, a change of {change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}], wanted at "
        f"most {bound:.3f}{excuse}"
    )
    return Check(name="negative_flips", value=share, bound=bound, is_passed=is_passed, reason=reason)


def _collapse(parent: Measured, candidate: Measured, settings: GateSettings) -> Check:
    old, new = (mean_similarity(of.views.means) for of in (parent, candidate))
    text = f"mean similarity of two tracklets (parent {old:.3f})"
    return at_most("mean_similarity", new, old + settings.max_similarity_rise, text)


def _rank(parent: Measured, candidate: Measured, settings: GateSettings) -> Check:
    old, new = (effective_rank(of.views.means) for of in (parent, candidate))
    return at_least(
        "effective_rank", new, old * settings.least_rank_share, f"directions that the embeddings use (parent {old:.1f})"
    )


def _interval(differences: Values, settings: GateSettings) -> Bounds:
    return bootstrap_mean(differences, confidence=settings.confidence, num_draws=settings.num_draws, seed=settings.seed)


def _mean(values: Values) -> float:
    """Mean over the tracklets that have a value; 0 where none has, so that parent and candidate are even."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0
