"""How sure is a search? Measured on the site itself, by searching for persons who are known.

For each of some persons whom two cameras or more saw, a view of each camera is searched in all others, as an operator
would. Whoever is found is right or wrong by what the server holds of persons now, with what operators said. So
a confidence is the share of such results, of this similarity, that were right. Where the server itself is mistaken, so
is it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from reid.embedding import pack
from reid.errors import OspreyError
from reid.types import BoolArray, FloatArray
from server.matching.confidence import ConfidenceCurve, fit_confidence
from server.search import PersonSearch, ReadViews
from server.served import Served
from server.storage.records import Summaries
from server.types import EVERYTHING, Scope

logger = structlog.get_logger(__name__)

_MOST_PERSONS = 30
_MOST_LOOKED_AT = 600
"""Persons among whom those that two cameras saw are looked for."""
_TOP = 10
_STALE_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Measured:
    curve: ConfidenceCurve | None
    space: str
    at_s: float


class Confidence:
    """Keeps the curve of the space that is served; measures it anew after a while. Any thread may call it.

    Args:
        search: Finds persons.
        read_views: Views of persons.
        summaries: Persons and cameras.
        served: Whose space it holds in.
        newest: Gives the newest confirmed persons, at most so many.
        clock: Monotonic, seconds.
    """

    def __init__(
        self,
        search: PersonSearch,
        read_views: ReadViews,
        summaries: Summaries,
        served: Served,
        *,
        newest: Callable[[int], list[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._search = search
        self._read_views = read_views
        self._summaries = summaries
        self._served = served
        self._newest = newest
        self._clock = clock
        self._measured: _Measured | None = None
        self._measuring = threading.Lock()

    @property
    def is_stale(self) -> bool:
        """It was never measured, is old, or another space is served now."""
        known = self._measured
        return known is None or known.space != self._space or self._clock() - known.at_s > _STALE_S

    def curve(self) -> ConfidenceCurve | None:
        """What was measured last in the served space; None where it was not, or there was too little to go by."""
        known = self._measured
        return known.curve if known is not None and known.space == self._space else None

    def measure(self) -> None:
        """Measure now, unless somebody does. Takes seconds; raises nothing: what was known before stays."""
        if not self._measuring.acquire(blocking=False):
            return
        try:
            space = self._space
            curve = fit_confidence(*self._compare())
            self._measured = _Measured(curve, space, self._clock())
            logger.info("confidence measured", space=space, curve=curve)
        except OspreyError as error:
            logger.warning("confidence not measured", error=str(error))
        finally:
            self._measuring.release()

    @property
    def _space(self) -> str:
        return self._served.spaces.space

    def _compare(self) -> tuple[FloatArray, BoolArray]:
        """Similarities of results, and which of them were right."""
        found: list[tuple[float, bool]] = []
        persons = self._summaries.get_persons(self._newest(_MOST_LOOKED_AT)).values()
        wanderers = [person for person in persons if len(person.camids) > 1]
        for person in wanderers[-_MOST_PERSONS:]:
            found += self._results(person.person_id)
        return (
            np.array([similarity for similarity, _ in found], dtype=np.float32),
            np.array([is_right for _, is_right in found], dtype=np.bool_),
        )

    def _results(self, person_id: int) -> list[tuple[float, bool]]:
        """Search for a person by a view of each camera, in all cameras but that one."""
        views = self._read_views([person_id], EVERYTHING, spaces=self._served.spaces)
        cameras = np.unique(views.camera_keys)
        if len(cameras) < 2:
            return []
        everywhere = self._all_cameras()
        found: list[tuple[float, bool]] = []
        for camera_key in cameras.tolist():
            embedding = views.embeddings[np.flatnonzero(views.camera_keys == camera_key)[0]]
            others = Scope(camera_keys=frozenset(everywhere - {camera_key}))
            ranked = self._search.by_embedding(pack(embedding), top=_TOP, scope=others)
            found += [(similarity, ref.person_id == person_id) for ref, similarity in ranked]
        return found

    def _all_cameras(self) -> set[int]:
        camids = {camid for edge in self._summaries.list_edges() for camid in edge.camids}
        return set(self._summaries.find_cameras(sorted(camids)))
