"""The bounded queue in memory between the cameras and the thread that writes to disk."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from reid.types import Observation, UInt8Array


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a camera has selected.

    Attributes:
        observation: To spool and send.
        space: Of its embedding.
        arrived_s: When its frame was read, monotonic clock.
        crop: uint8 (256, 128, 3) BGR to keep on this machine, or None.
    """

    observation: Observation
    space: str
    arrived_s: float
    crop: UInt8Array | None = None


class Outbox:
    """When it is full, a camera that cannot wait displaces the oldest entry; a file waits for room.

    Args:
        capacity: Entries that it holds.

    Attributes:
        num_displaced: Entries lost because the disk was too slow.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self.num_displaced = 0
        self._capacity = capacity
        self._entries: deque[Outgoing] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def depth(self) -> int:
        """Entries that wait."""
        return len(self._entries)

    def put(self, outgoing: Outgoing, *, may_wait: bool) -> None:
        """Add an entry.

        Args:
            outgoing: The entry.
            may_wait: Wait for room when full, instead of displacing the oldest entry.
        """
        with self._changed:
            if may_wait:
                self._changed.wait_for(lambda: len(self._entries) < self._capacity or self._closed)
            while len(self._entries) >= self._capacity:
                self._entries.popleft()
                self.num_displaced += 1
            self._entries.append(outgoing)
            self._changed.notify_all()

    def take(self, limit: int, *, timeout_s: float) -> list[Outgoing]:
        """Take up to `limit` entries, oldest first; wait for the first one for at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closed, timeout=timeout_s)
            taken = [self._entries.popleft() for _ in range(min(limit, len(self._entries)))]
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Let nobody wait any more; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
