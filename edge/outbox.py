"""The bounded queue in memory between the cameras and the thread that writes to disk."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

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

    Crops are a hundred times larger than the rest, so they may fill a part of it only: beyond that, a camera that
    cannot wait leaves its crop behind.

    Args:
        capacity: Entries that it holds.
        crop_capacity: No entry brings a crop in while so many wait.

    Attributes:
        num_displaced: Entries lost because the disk was too slow.
        num_crops_displaced: Crops left behind for the same reason.
    """

    def __init__(self, capacity: int = 1024, *, crop_capacity: int = 256) -> None:
        self.num_displaced = 0
        self.num_crops_displaced = 0
        self._capacity = capacity
        self._crop_capacity = crop_capacity
        self._entries: deque[Outgoing] = deque()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def depth(self) -> int:
        """Entries that wait."""
        return len(self._entries)

    @property
    def is_crowded(self) -> bool:
        """True while more wait than may bring crops: there is no time to lose with crops."""
        return len(self._entries) > self._crop_capacity

    def put(self, outgoing: Outgoing, *, may_wait: bool) -> None:
        """Add an entry.

        Args:
            outgoing: The entry.
            may_wait: Wait for room when full, instead of displacing the oldest entry.
        """
        most = self._capacity if outgoing.crop is None else self._crop_capacity
        with self._changed:
            if may_wait:
                self._changed.wait_for(lambda: len(self._entries) < most or self._closed)
            if len(self._entries) >= most and outgoing.crop is not None:
                outgoing = replace(outgoing, crop=None)
                self.num_crops_displaced += 1
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
