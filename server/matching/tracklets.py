"""Tracklets: pooled as their observations arrive, and compared in time.

The embedding of a tracklet is the mean of its observations weighted by their quality, scaled to norm 1. Its sum is what
is kept, so that pooling can go on at any time and in any number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import FloatArray, Observation
from server.types import CameraSpan, Tracklet, TrackletName

_LEAST_WEIGHT = 0.01
"""Weight of an observation of quality 0: a tracklet of such crops still has a direction."""
LEAST_NORM = 1e-6
"""A shorter sum of embeddings has no direction."""


class MaturitySettings(Settings):
    """How much must have been seen before an identity is kept.

    Of a tracklet, or it is young; of a person over all of their tracklets, or they are provisional. One crop is never
    enough under the default settings.
    """

    observations: int = Field(default=3, ge=1)
    """Fewer observations are not enough."""
    weight: float = Field(default=1.0, gt=0)
    """Qualities that sum to less are not enough."""
    most_observations: int = Field(default=12, ge=1)
    """From this many observations on it does not matter how poor they are."""

    def is_enough(self, num_observations: int, weight: float) -> bool:
        """True if an identity can rest on observations whose qualities sum to `weight`."""
        return num_observations >= self.observations and self.is_clear(num_observations, weight)

    def is_clear(self, num_observations: int, weight: float) -> bool:
        """True if observations whose qualities sum to `weight` show somebody, be they enough or not."""
        return weight >= self.weight or num_observations >= self.most_observations


def new_tracklet(name: TrackletName, first: Observation, *, tracklet_key: int, is_native: bool = True) -> Tracklet:
    """Make an empty tracklet that `first` will be pooled into; not native if its space is not the one of memory."""
    return Tracklet(
        tracklet_key=tracklet_key,
        camera_key=name.camera_key,
        tracklet_id=name.tracklet_id,
        space=name.space,
        start_us=first.time_us,
        end_us=first.time_us,
        num_observations=0,
        weight=0.0,
        embedding_sum=np.zeros_like(first.embedding),
        native_sum=None if is_native else np.zeros_like(first.embedding),
    )


def pool(tracklet: Tracklet, observations: Sequence[Observation]) -> None:
    """Add observations to a tracklet, in place; order does not matter, and late ones are welcome.

    Args:
        tracklet: Its `native_sum` is left alone.
        observations: In the space that memory is in.
    """
    for observation in observations:
        weight = max(observation.quality, _LEAST_WEIGHT)
        tracklet.embedding_sum += np.float32(weight) * observation.embedding
        tracklet.weight += weight
        tracklet.start_us = min(tracklet.start_us, observation.time_us)
        tracklet.end_us = max(tracklet.end_us, observation.time_us)
        tracklet.is_closed = tracklet.is_closed or observation.is_last
    tracklet.num_observations += len(observations)
    if tracklet.mean is not None:
        tracklet.embedding_sum = np.float32(tracklet.weight) * tracklet.mean


def pool_native(tracklet: Tracklet, observations: Sequence[Observation]) -> None:
    """Add observations, as they came, to the `native_sum` of a tracklet that has one."""
    if tracklet.native_sum is not None:
        for observation in observations:
            tracklet.native_sum += np.float32(max(observation.quality, _LEAST_WEIGHT)) * observation.embedding


def growth(tracklet: Tracklet, observations: Sequence[Observation]) -> CameraSpan:
    """The time that a tracklet would cover anew by pooling these; a moment at least."""
    times_us = [observation.time_us for observation in observations]
    return CameraSpan(tracklet.camera_key, min(tracklet.end_us, *times_us), max(tracklet.start_us, *times_us))


def mean_embedding(tracklet: Tracklet) -> FloatArray:
    """The tracklet's embedding, (D,) float32, unit norm."""
    return unit(tracklet.embedding_sum)


def unit(vector: FloatArray) -> FloatArray:
    """Scale a sum of embeddings to norm 1; a sum whose parts cancel has no direction and becomes zero, like nobody."""
    norm = float(np.sqrt(vector @ vector))
    if norm < LEAST_NORM:
        return np.zeros_like(vector)
    return vector * np.float32(1.0 / norm)


def is_young(tracklet: Tracklet, maturity: MaturitySettings) -> bool:
    """True while the tracklet's identity may still be decided anew."""
    return not maturity.is_enough(tracklet.num_observations, tracklet.weight)


def share(tracklet: Tracklet, maturity: MaturitySettings) -> float:
    """How much a tracklet counts in the prototype of its person, in (0, 1]: less while its crops are few or poor."""
    return min(1.0, tracklet.weight / maturity.weight)


def overlap(one: Tracklet, other: Tracklet) -> bool:
    """True if both show somebody in the same camera at the same moment: they are two people."""
    return (
        one.camera_key == other.camera_key
        and one is not other
        and one.start_us <= other.end_us
        and other.start_us <= one.end_us
    )
