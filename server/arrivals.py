"""What a step of ingestion takes in: new observations by tracklet, as they came and as matching compares them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from reid.embedding import pack_rows
from reid.types import Observation, SpooledObservation
from server.spaces import Spaces
from server.storage.records import StoredObservation
from server.types import TrackletName

_Item = tuple[int, SpooledObservation]
"""An observation with its spool_key."""


class Arrivals:
    """New observations, each once, by the tracklets that they belong to."""

    def __init__(self) -> None:
        self._items: dict[TrackletName, list[_Item]] = {}

    def __iter__(self) -> Iterator[TrackletName]:
        """The tracklets, in the order of their first observations."""
        return iter(self._items)

    def add(self, name: TrackletName, spool_key: int, spooled: SpooledObservation) -> None:
        """Add an observation of a tracklet."""
        self._items.setdefault(name, []).append((spool_key, spooled))

    def native(self, name: TrackletName) -> list[Observation]:
        """Observations of a tracklet as they came."""
        return [spooled.observation for _, spooled in self._items[name]]

    def brought(self, spaces: Spaces) -> dict[TrackletName, list[Observation]]:
        """All of them in the served space: the very ones that came, where they are there already."""
        observations = {name: self.native(name) for name in self._items}
        foreign: defaultdict[str, list[TrackletName]] = defaultdict(list)
        for name in observations:
            if name.space != spaces.space:
                foreign[name.space].append(name)
        for space, names in foreign.items():
            came = [item for name in names for item in observations[name]]
            embeddings = iter(spaces.bring(np.stack([item.embedding for item in came]), space))
            for name in names:
                observations[name] = [replace(item, embedding=next(embeddings)) for item in observations[name]]
        return observations

    def rows(self, tracklet_keys: Sequence[int]) -> list[StoredObservation]:
        """What to store, embeddings as they came.

        Args:
            tracklet_keys: Of the tracklets, in order.
        """
        items = [(key, *item) for key, mine in zip(tracklet_keys, self._items.values(), strict=True) for item in mine]
        contents = pack_rows([spooled.observation.embedding for _, _, spooled in items])
        return [
            StoredObservation(spool_key, seq, key, seen.time_us, *seen.box, seen.quality, content)
            for (key, spool_key, (seq, seen)), content in zip(items, contents, strict=True)
        ]
