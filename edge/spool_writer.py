"""The thread that writes what the cameras have selected: observations to the spool, crops to the ring and a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import groupby

from edge.crops import CropStore
from edge.errors import SpoolError
from edge.faults import Faults
from edge.heartbeat import Heartbeat
from edge.outbox import Outbox, Outgoing
from edge.ring import CropRing, NumberedCrop
from edge.spool import Spool
from edge.stage_times import StageTimes
from reid.errors import ObservationError

_MAX_BATCH = 256
_MAX_RING_BATCH = 32
"""Crops that the ring takes at once; between two such batches the writer looks whether observations pile up."""
_LINGER_S = 0.1
"""Pause between two writes of the spool: at most ten fsyncs a second, which a flash card can bear."""


class SpoolWriter:
    """Moves entries from the outbox to the spool. An entry that cannot be written is lost and counted.

    Args:
        outbox: Where the cameras put them.
        spool: Where they go.
        crops: Keeps the best crops, or None.
        notify: Called after each write.
        ring: Keeps the crops of what was spooled, or None.

    Attributes:
        num_spooled: Observations that are durable.
        num_lost: Observations that could not be written.
        faults: What went wrong.
        times: `spool`, one write, `ring`, the crops of one write, and `capture_to_spool`, from the arrival of a frame
            until its observation is durable.
        heartbeat: Of its loop.
    """

    def __init__(
        self,
        outbox: Outbox,
        spool: Spool,
        *,
        crops: CropStore | None,
        notify: Callable[[], None],
        ring: CropRing | None = None,
    ) -> None:
        self.num_spooled = 0
        self.num_lost = 0
        self.faults = Faults("spool")
        self.times = StageTimes()
        self.heartbeat = Heartbeat()
        self._outbox = outbox
        self._spool = spool
        self._crops = crops
        self._notify = notify
        self._ring = ring

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set and the outbox is empty."""
        try:
            while not stop.is_set():
                self.heartbeat.beat()
                if self.step(timeout_s=0.2):
                    stop.wait(_LINGER_S)
            self.heartbeat.rest()
            while self.step(timeout_s=0.0):
                pass
        finally:
            self._outbox.close()  # nobody makes room in it any more, so nobody shall wait for room

    def step(self, *, timeout_s: float) -> bool:
        """Write what waits, after waiting for it for at most `timeout_s`; returns whether there was something."""
        entries = self._outbox.take(_MAX_BATCH, timeout_s=timeout_s)
        if entries:
            with self.times.measure("spool"):
                groups = groupby(entries, key=lambda entry: entry.space)
                crops = [numbered for space, group in groups for numbered in self._spool_all(list(group), space)]
            for entry in entries:
                self.times.add("capture_to_spool", time.monotonic() - entry.arrived_s)
            self._notify()
            self._keep_crops(entries)
            self._fill_ring(crops)
        self._tidy_ring()
        return bool(entries)

    def _spool_all(self, entries: list[Outgoing], space: str) -> list[NumberedCrop]:
        """Make entries durable; returns the crops of those that are, under their observations' numbers."""
        try:
            return self._append(entries, space)
        except ObservationError:  # one of them is malformed: the others shall not be lost with it
            return [numbered for entry in entries for numbered in self._append_alone(entry, space)]

    def _append_alone(self, entry: Outgoing, space: str) -> list[NumberedCrop]:
        try:
            return self._append([entry], space)
        except ObservationError as error:
            self._lose("observation", error, 1)
            return []

    def _append(self, entries: list[Outgoing], space: str) -> list[NumberedCrop]:
        try:
            last_seq = self._spool.append([entry.observation for entry in entries], space=space)
        except ObservationError:
            raise
        except Exception as error:  # beside a full disk, a fault of ours in one write must not end the writing
            self._lose("spool" if isinstance(error, SpoolError) else "unexpected", error, len(entries))
            return []
        self.num_spooled += len(entries)
        numbered = enumerate(entries, start=last_seq - len(entries) + 1)
        return [NumberedCrop(seq, entry.observation, entry.crop) for seq, entry in numbered if entry.crop is not None]

    def _lose(self, kind: str, error: Exception, number: int) -> None:
        self.num_lost += number
        self.faults.note(kind, error, number=number)

    def _keep_crops(self, entries: list[Outgoing]) -> None:
        for entry in entries:
            if self._crops is not None and entry.crop is not None:
                try:
                    self._crops.offer(entry.observation, entry.crop)
                except Exception as error:  # whatever becomes of a crop, observations go on
                    self.faults.note("crop", error)

    def _fill_ring(self, crops: list[NumberedCrop]) -> None:
        """Hand crops to the ring as long as no observations pile up behind them."""
        if self._ring is None or not crops:
            return
        with self.times.measure("ring"):
            for first in range(0, len(crops), _MAX_RING_BATCH):
                batch = crops[first : first + _MAX_RING_BATCH]
                if self._outbox.is_crowded:
                    self._ring.lose(len(batch))
                    continue
                try:
                    self._ring.keep(batch)
                except Exception as error:
                    self.faults.note("ring", error)

    def _tidy_ring(self) -> None:
        try:
            if self._ring is not None:
                self._ring.tidy()
        except Exception as error:
            self.faults.note("ring", error)
