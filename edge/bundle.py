"""The edge's bundle: what `osprey-server enroll edge` made, read again for each stream.

So a renewed bundle, put in the place of the old one, is used from the next stream on, without restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from reid.credentials import Credentials, read_credentials

logger = structlog.get_logger(__name__)

_WARN_DAYS = 30.0
_DAY_S = 86_400.0


class Bundle:
    """A bundle's file.

    Args:
        path: The file.
        edge_id: The edge that it must be for.
        camids: The cameras that it must be for.
        clock: Seconds since the Unix epoch.
    """

    def __init__(self, path: Path, edge_id: str, camids: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._edge_id = edge_id
        self._camids = camids
        self._clock = clock
        self._newest: Credentials | None = None
        self._next_warning_s = 0.0

    def read(self) -> Credentials:
        """What the file holds now.

        Raises:
            CredentialsError: It is damaged, readable by others, for another edge, lacks a camera, or has ended.
        """
        credentials = read_credentials(self._path)
        credentials.check_edge(self._edge_id, self._camids)
        self._newest = credentials
        credentials.check_current(self._clock())
        return credentials

    def warn_if_ending(self) -> None:
        """Log, once a day, that the certificate ends within 30 days."""
        now_s = self._clock()
        if self._newest is None or now_s < self._next_warning_s:
            return
        self._next_warning_s = now_s + _DAY_S
        if note := self._newest.ending_note(now_s, within_days=_WARN_DAYS):
            logger.warning(note, bundle=str(self._path))
