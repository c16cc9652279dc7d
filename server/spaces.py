"""Spaces of embeddings, and the one that memory is in.

Records keep every vector in the space it came in. Memory, matching and gallery are in the served space: whatever comes
out of the records, or from an edge that runs another release, is brought into it, by maps that lose nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from reid.alignment import Alignments
from reid.types import FloatArray
from server.types import Tracklet


@dataclass(frozen=True, kw_only=True)
class ServedSpace:
    """The space that memory is in: that of the release which this server serves.

    Attributes:
        space: Its name.
        dim: Numbers in an embedding.
        threshold: Least cosine of one person's tracklets in it.
    """

    space: str
    dim: int
    threshold: float


class Spaces:
    """The served space, and those that can be brought into it. Never changes; any thread may ask.

    Args:
        served: Where everything is brought.
        alignments: How releases are joined; none for the served one alone.

    Attributes:
        served: As given.
        alignments: As given.
        known: Names of the spaces that can be brought in, the served one among them.
    """

    def __init__(self, served: ServedSpace, alignments: Alignments | None = None) -> None:
        self.served = served
        self.alignments = alignments or Alignments()
        self.known = self.alignments.connected(served.space)

    @property
    def space(self) -> str:
        """Name of the served space."""
        return self.served.space

    def knows(self, space: str) -> bool:
        """True for a space that can be brought into the served one."""
        return space in self.known

    def bring(self, vectors_ND: FloatArray, space: str) -> FloatArray:
        """Bring embeddings, or sums of embeddings, of a known space into the served one.

        Args:
            vectors_ND: float32 (N, D).
            space: Where they are.

        Returns:
            (N, D) float32 of the same norms: the very array given, if it is there already.

        Raises:
            ReleaseError: The space is not known.
        """
        matrix = self.alignments.between(space, self.space)
        return vectors_ND if matrix is None else vectors_ND @ matrix


def bring_tracklets(tracklets: Iterable[Tracklet], spaces: Spaces, means: Mapping[int, FloatArray]) -> None:
    """Bring tracklets of known spaces into the served one, in place, wherever they were brought before.

    Args:
        tracklets: As read from their rows, or as memory held them in another space.
        spaces: Leads into the served one.
        means: tracklet_key -> unit mean in the served space, of those that were embedded again in it.
    """
    foreign: defaultdict[str, list[Tracklet]] = defaultdict(list)
    for tracklet in tracklets:
        native_sum = tracklet.embedding_sum if tracklet.native_sum is None else tracklet.native_sum
        if tracklet.space == spaces.space:
            tracklet.embedding_sum, tracklet.native_sum, tracklet.mean = native_sum, None, None
        else:
            tracklet.native_sum, tracklet.mean = native_sum, means.get(tracklet.tracklet_key)
            foreign[tracklet.space].append(tracklet)
    for space, group in foreign.items():
        sums_ND = spaces.bring(
            np.stack([tracklet.native_sum for tracklet in group if tracklet.native_sum is not None]), space
        )
        for tracklet, brought_D in zip(group, sums_ND, strict=True):
            if tracklet.mean is None:
                tracklet.embedding_sum = brought_D.copy()  # not a view, which would hold all of them
            else:
                tracklet.embedding_sum = np.float32(tracklet.weight) * tracklet.mean
