"""Cameras and times that a form chose: read from the address of a page, and written into the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from server.errors import ProtocolError
from server.moments import read_moment
from server.types import EVERYTHING, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacesAndTimes:
    """Where and when, as it was typed.

    Attributes:
        camids: Names of cameras; empty for all.
        since: UTC, such as 2026-01-31T08:00; empty for no bound.
        until: Likewise.
    """

    camids: tuple[str, ...] = ()
    since: str = ""
    until: str = ""

    def scope(self, find_cameras: Callable[[Sequence[str]], frozenset[int]]) -> Scope:
        """The same, as records understand it.

        Args:
            find_cameras: Keys of cameras by name.

        Raises:
            ConfigError: A time cannot be read.
            ProtocolError: The span ends before it starts.
            NotFoundError: There is no camera of one of the names.
        """
        start_us = read_moment(self.since, option="since") if self.since else EVERYTHING.start_us
        end_us = read_moment(self.until, option="until") if self.until else EVERYTHING.end_us
        if end_us < start_us:
            raise ProtocolError(f"until {self.until} lies before since {self.since}")
        cameras = find_cameras(self.camids) if self.camids else EVERYTHING.camera_keys
        return Scope(camera_keys=cameras, start_us=start_us, end_us=end_us)

    def fields(self) -> Iterator[tuple[str, str]]:
        """Fields of an address, those that were left empty left out."""
        yield from (("camera", camid) for camid in self.camids)
        yield from ((name, text) for name, text in (("since", self.since), ("until", self.until)) if text)

    @property
    def words(self) -> list[str]:
        """For people and the audit log."""
        words = [f"cameras {', '.join(self.camids)}"] if self.camids else []
        words += [f"since {self.since}"] if self.since else []
        return words + ([f"until {self.until}"] if self.until else [])


ANYWHERE = PlacesAndTimes()
