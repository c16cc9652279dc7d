"""Tracklets that may still grow or be compared in time, kept in memory by the name their edge gave them."""

from __future__ import annotations

from collections import OrderedDict

from server.types import Tracklet, TrackletName


class RecentTracklets:
    """A map that forgets what was not touched for long; touching is `keep`."""

    def __init__(self) -> None:
        self._tracklets: OrderedDict[TrackletName, Tracklet] = OrderedDict()

    def __len__(self) -> int:
        """Number of tracklets."""
        return len(self._tracklets)

    def get(self, name: TrackletName) -> Tracklet | None:
        """The tracklet of that name, if it is kept."""
        return self._tracklets.get(name)

    def keep(self, tracklet: Tracklet) -> None:
        """Keep a tracklet; it is now the latest touched."""
        self._tracklets[tracklet.name] = tracklet
        self._tracklets.move_to_end(tracklet.name)

    def expire(self, *, before_us: int) -> list[Tracklet]:
        """Forget those at the old end that were last updated before a moment of the server's clock, and return them."""
        expired: list[Tracklet] = []
        while self._tracklets:
            oldest = next(iter(self._tracklets.values()))
            if oldest.updated_us >= before_us:
                break
            expired.append(self._tracklets.popitem(last=False)[1])
        return expired
