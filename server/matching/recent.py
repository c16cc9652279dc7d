"""Tracklets in memory, by the name their edge gave them: those that grow, and those compared in time.

What was not touched for long is forgotten. The records still have it, and `may_lack` tells when they must be asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from server.types import CameraSpan, Tracklet, TrackletName


class RecentTracklets:
    """A map that forgets what was not touched for long; touching is `keep`."""

    def __init__(self) -> None:
        self._tracklets: OrderedDict[TrackletName, Tracklet] = OrderedDict()
        self._forgotten_until_us: dict[int, int] = {}  # by camera_key: latest end of what was forgotten

    def __len__(self) -> int:
        """Number of tracklets."""
        return len(self._tracklets)

    def __iter__(self) -> Iterator[Tracklet]:
        """All of them, the one touched longest ago first."""
        return iter(self._tracklets.values())

    def __getitem__(self, name: TrackletName) -> Tracklet:
        """The tracklet of that name, which must be kept."""
        return self._tracklets[name]

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
            self.forget(oldest)
            expired.append(oldest)
        return expired

    def forget(self, tracklet: Tracklet) -> None:
        """Leave a tracklet to the records."""
        self._tracklets.pop(tracklet.name, None)
        known_us = self._forgotten_until_us.get(tracklet.camera_key, tracklet.end_us)
        self._forgotten_until_us[tracklet.camera_key] = max(known_us, tracklet.end_us)

    def may_lack(self, span: CameraSpan) -> bool:
        """True if a forgotten tracklet may reach into a span; rare, since an edge sends in order of time."""
        forgotten_until_us = self._forgotten_until_us.get(span.camera_key)
        return forgotten_until_us is not None and span.start_us <= forgotten_until_us
