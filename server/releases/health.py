"""Whether an edge is as well with a new release as it was before. Pure: figures in, a reason or none out.

Traffic and light change for all cameras of a site alike: what the edges outside of the ring show meanwhile is taken
off. What is not known (0) is not judged, nor what rests on too little.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from pydantic import Field

from reid.settings import Settings

_LEAST_EVENTS = 10
"""Embeddings and faults together before a share of faults means something."""


class HealthSettings(Settings):
    """What halts a roll-out."""

    min_rate_share: float = Field(default=0.2, ge=0, le=1)
    """Embeddings per second may not fall below this share of what they were. Low: mostly people come and go."""
    min_embeddings: int = Field(default=50, ge=1)
    """The rate is judged where so many embeddings were to be expected."""
    max_fault_share: float = Field(default=0.02, ge=0, le=1)
    """Faults among embeddings and faults; twice what it was before is right, too."""
    max_embed_ratio: float = Field(default=2.0, ge=1)
    """Median time of a batch, against before."""
    fast_embed_ms: float = Field(default=5.0, ge=0)
    """A batch that takes no longer is fast enough, whatever it took before."""
    max_coherence_drop: float = Field(default=0.1, gt=0)
    """Neighbouring views of a tracklet may become this much less similar."""
    max_coherence: float = Field(default=0.995, gt=0, le=1)
    """Beyond, everybody looks the same to the network."""


class Counters(Settings):
    """What an edge had counted at a moment, since its agent started."""

    time_us: int
    """Server's clock."""
    embeddings: int
    faults: int
    frames: int = 0
    frames_dropped: int = 0

    def precedes(self, later: Counters) -> bool:
        """False if the agent started anew between the two."""
        return later.embeddings >= self.embeddings and later.faults >= self.faults


class Health(Settings):
    """How an edge was over some time."""

    embeddings_per_s: float
    fault_share: float
    """Faults among embeddings and faults, in [0, 1]."""
    embed_ms: float
    """Median time of a batch; 0 if not known."""
    coherence: float
    """Mean cosine of neighbouring views of one tracklet; 0 if not known."""


class Drift(NamedTuple):
    """What changed for edges that were left as they are.

    Attributes:
        rate_ratio: Embeddings per second, after over before.
        coherence: After minus before.
    """

    rate_ratio: float = 1.0
    coherence: float = 0.0


def health_between(before: Counters, after: Counters, *, embed_ms: float, coherence: float) -> Health:
    """The health that two readings of the counters show, and the latest embed_ms and coherence."""
    embeddings, faults = after.embeddings - before.embeddings, after.faults - before.faults
    seconds = (after.time_us - before.time_us) / 1e6
    return Health(
        embeddings_per_s=embeddings / seconds if seconds > 0 else 0.0,
        fault_share=faults / (embeddings + faults) if embeddings + faults else 0.0,
        embed_ms=embed_ms,
        coherence=coherence,
    )


def drift(pairs: Iterable[tuple[Health, Health]]) -> Drift:
    """The drift of edges outside of a ring, each before and now; none without any."""
    both = list(pairs)
    rate_before = sum(before.embeddings_per_s for before, _ in both)
    rate_now = sum(now.embeddings_per_s for _, now in both)
    coherences = [now.coherence - before.coherence for before, now in both if now.coherence and before.coherence]
    return Drift(rate_now / rate_before if rate_before else 1.0, median(coherences) if coherences else 0.0)


def too_many_faults(before: Health, mark: Counters, now: Counters, settings: HealthSettings) -> str:
    """Why the faults since a mark are too many; empty if they are not. Need not wait."""
    events = now.embeddings - mark.embeddings + now.faults - mark.faults
    share = health_between(mark, now, embed_ms=0, coherence=0).fault_share
    bound = max(settings.max_fault_share, 2 * before.fault_share)
    if events < _LEAST_EVENTS or share <= bound:
        return ""
    return f"{share:.0%} of what it does fails, {before.fault_share:.0%} before"


def illness(before: Health, after: Health, rest: Drift, *, over_s: float, settings: HealthSettings) -> str:
    """Why an edge is worse off than before; empty if it is not.

    Args:
        before: With the release before.
        after: With the new one.
        rest: What changed for the others meanwhile.
        over_s: Time behind `after`.
        settings: Bounds.
    """
    expected = before.embeddings_per_s * min(1.0, rest.rate_ratio)
    if expected * over_s >= settings.min_embeddings and after.embeddings_per_s < settings.min_rate_share * expected:
        return f"{after.embeddings_per_s:.2f} embeddings/s, {expected:.2f} were to be expected"
    slowest_ms = max(settings.fast_embed_ms, settings.max_embed_ratio * before.embed_ms)
    if before.embed_ms and after.embed_ms > slowest_ms:
        return f"a batch takes {after.embed_ms:.1f} ms, {before.embed_ms:.1f} ms before"
    return _incoherence(before.coherence, after.coherence, rest, settings)


def _incoherence(before: float, after: float, rest: Drift, settings: HealthSettings) -> str:
    if not before or not after:
        return ""
    if after > settings.max_coherence >= before:
        return f"views are {after:.3f} similar, {before:.3f} before: all persons look the same to it"
    drop = before - after + min(0.0, rest.coherence)
    if drop > settings.max_coherence_drop:
        return f"views of one person are {after:.2f} similar, {before:.2f} before (the rest: {rest.coherence:+.2f})"
    return ""
