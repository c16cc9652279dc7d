"""The thread that writes what the cameras have selected: observations to the spool, crops to their folder."""

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
from edge.spool import Spool
from edge.stage_times import StageTimes
from reid.errors import ObservationError
from reid.types import Observation

_MAX_BATCH = 256
_LINGER_S = 0.1
"""Pause between two writes of the spool: at most ten fsyncs a second, which a flash card can bear."""


class SpoolWriter:
    """Moves entries from the outbox to the spool. An entry that cannot be written is lost and counted.

    Args:
        outbox: Where the cameras put them.
        spool: Where they go.
        crops: Keeps the crops, or None.
        notify: Called after each write.

    Attributes:
        num_spooled: Observations that are durable.
        num_lost: Observations that could not be written.
        faults: What went wrong.
        times: `spool`, one write, and `capture_to_spool`, from the arrival of a frame until its observation is durable.
        heartbeat: Of its loop.
    """

    def __init__(self, outbox: Outbox, spool: Spool, *, crops: CropStore | None, notify: Callable[[], None]) -> None:
        self.num_spooled = 0
        self.num_lost = 0
        self.faults = Faults("spool")
        self.times = StageTimes()
        self.heartbeat = Heartbeat()
        self._outbox = outbox
        self._spool = spool
        self._crops = crops
        self._notify = notify

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
                for space, group in groupby(entries, key=lambda entry: entry.space):
                    self._spool_all([entry.observation for entry in group], space)
            for entry in entries:
                self.times.add("capture_to_spool", time.monotonic() - entry.arrived_s)
            self._notify()
            self._keep_crops(entries)
        return bool(entries)

    def _spool_all(self, observations: list[Observation], space: str) -> None:
        try:
            self._append(observations, space)
        except ObservationError:  # one of them is malformed: the others shall not be lost with it
            for observation in observations:
                try:
                    self._append([observation], space)
                except ObservationError as error:
                    self._lose("observation", error, [observation])

    def _append(self, observations: list[Observation], space: str) -> None:
        try:
            self._spool.append(observations, space=space)
            self.num_spooled += len(observations)
        except SpoolError as error:
            self._lose("spool", error, observations)
        except ObservationError:
            raise
        except Exception as error:  # a fault of ours in one write must not end the writing
            self._lose("unexpected", error, observations)

    def _lose(self, kind: str, error: Exception, observations: list[Observation]) -> None:
        self.num_lost += len(observations)
        self.faults.note(kind, error, number=len(observations))

    def _keep_crops(self, entries: list[Outgoing]) -> None:
        for entry in entries:
            if self._crops is not None and entry.crop is not None:
                try:
                    self._crops.offer(entry.observation, entry.crop)
                except Exception as error:  # whatever becomes of a crop, observations go on
                    self.faults.note("crop", error)
