"""What cameras sent and who it truly was: the input of `benchmarks.identity`, from any data set.

Shape letters: N observations in order of time, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reid.release import Release
from reid.types import BoolArray, Box, FloatArray, IntArray, Observation, SpooledObservation
from server.admission import Batch
from server.types import Spool

_BOX = Box(0.0, 0.0, 64.0, 128.0)
"""Matching does not look at boxes."""


class Similarity(NamedTuple):
    """What a release says about its similarities.

    Attributes:
        space: Its space.
        threshold: Least cosine of one person's tracklets.
    """

    space: str
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Observations of a site, in order of time, with the truth about each.

    Attributes:
        name: Of the data set.
        similarity: Of the release that embedded them.
        window_s: A person not seen for longer need not be met again.
        cameras_N: int64, number of the camera.
        tracklet_ids_N: int64, the edge's name for the tracklet.
        times_us_N: int64, rising.
        qualities_N: float32 in [0, 1].
        is_last_N: The tracklet ends here.
        embeddings_ND: float32, unit norm.
        pids_N: int64, who it is; -1 for nobody.
    """

    name: str
    similarity: Similarity
    window_s: float
    cameras_N: IntArray
    tracklet_ids_N: IntArray
    times_us_N: IntArray
    qualities_N: FloatArray
    is_last_N: BoolArray
    embeddings_ND: FloatArray
    pids_N: IntArray

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.pids_N)

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return int(self.embeddings_ND.shape[1])

    def rows_by_tracklet(self) -> dict[tuple[int, int], IntArray]:
        """Rows of each tracklet in order of time, by camera and tracklet_id; tracklets in the order of their starts."""
        names = list(zip(self.cameras_N.tolist(), self.tracklet_ids_N.tolist(), strict=True))
        rows: dict[tuple[int, int], list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(name, []).append(row)
        return {name: np.array(members, dtype=np.int64) for name, members in rows.items()}

    def steps(self, *, step_us: int) -> Iterator[tuple[int, list[Batch]]]:
        """What comes in each stretch of time: its end, and one batch for each camera that saw somebody."""
        slots_N = self.times_us_N // step_us
        seqs = dict.fromkeys(np.unique(self.cameras_N).tolist(), 0)
        for rows in np.split(np.arange(len(self)), np.flatnonzero(np.diff(slots_N)) + 1):
            batches = []
            for camera in np.unique(self.cameras_N[rows]).tolist():
                mine = rows[self.cameras_N[rows] == camera]
                spooled = [SpooledObservation(seqs[camera] + 1 + i, self._observation(r)) for i, r in enumerate(mine)]
                seqs[camera] += len(mine)
                spool = Spool(f"edge{camera}", "spool")
                batches.append(
                    Batch(spool=spool, space=self.similarity.space, observations=spooled, last_seq=seqs[camera])
                )
            yield int(slots_N[rows[0]] + 1) * step_us, batches

    def _observation(self, row: int) -> Observation:
        return Observation(
            camid=f"c{self.cameras_N[row]}",
            tracklet_id=int(self.tracklet_ids_N[row]),
            time_us=int(self.times_us_N[row]),
            box=_BOX,
            quality=float(self.qualities_N[row]),
            embedding=self.embeddings_ND[row],
            is_last=bool(self.is_last_N[row]),
        )


def similarity_of(release: Release) -> Similarity:
    """What a release's manifest says."""
    return Similarity(release.manifest.space, release.manifest.thresholds.match)
