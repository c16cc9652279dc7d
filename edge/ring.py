"""The crop ring: pictures of what was sent lately, on this machine, in case the server asks for some of them.

Invariants:
- A crop has the name of its observation: the sequence number within the spool that the ring belongs to.
- The file stays within its bound; the oldest crops make room. A crop that is older than `keep_days` is never given out,
  and deleted soon after. Age counts from the moment of keeping, by this machine's clock.
- JPEGs are encrypted (`edge.ring_key`); the rest of a row (time, box, number) is not, and cannot be altered unnoticed.
- A full disk, a damaged file, a lost key cost crops, counted in `faults`, and nothing else: `forget` alone raises for
  them. The ring leaves the spool its share of the disk, and gives its own up where the disk is full.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import cv2
from pydantic import Field

from edge.errors import RingError
from edge.faults import Faults
from edge.ring_file import CropRow, RingFile, is_damage, open_ring_file, remove_ring_file
from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from reid.settings import Settings
from reid.types import Box, Observation, UInt8Array

_ROW_OVERHEAD_BYTES = 400
"""Upper bound of what a row takes beside its JPEG and the page that this ends in."""
_DAY_US = 86_400_000_000
_TIDY_INTERVAL_S = 10.0
_MAX_AGED = 500
"""Crops that one transaction deletes for their age, or to forget them; bounds how long the spool's writer waits."""
_LAST_MIB = 64
"""Where less of the disk is free, the ring gives its file up …"""
_WORTH_BYTES = 1 << 20
"""… unless it is this small."""
_MAX_SEQ = (1 << 63) - 1


class RingSettings(Settings):
    """Crops that are kept on this machine for a server that may ask for them."""

    enabled: bool = True
    """Whether any are kept; without them the site cannot adapt its network to this edge's cameras."""
    limit_mib: int = Field(default=512, ge=1)
    """Largest size of the file in MiB; 512 MiB hold about 70,000 crops."""
    keep_days: float = Field(default=7.0, gt=0, le=30)
    """Older ones are deleted; the server reminds of erased persons for 30 days."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """Of the pictures, as JPEG counts it."""
    daily_limit_mib: int = Field(default=128, ge=0)
    """Most that leaves this machine within a day (UTC), whatever the server asks for; MiB."""

    def path_beside(self, spool: Path) -> Path:
        """The file of an agent whose spool this is."""
        return spool.with_name(f"{spool.name}.crops")


class NumberedCrop(NamedTuple):
    """What is offered to the ring: an observation, its number in the spool, its uint8 (256, 128, 3) BGR crop."""

    seq: int
    observation: Observation
    crop: UInt8Array


@dataclass(frozen=True)
class KeptCrop:
    """A crop as it was kept.

    Attributes:
        seq: Its name.
        time_us: When its frame was taken, microseconds since the Unix epoch.
        box: Of the person, pixels of the frame.
        jpeg: 128 x 256 pixels.
    """

    seq: int
    time_us: int
    box: Box
    jpeg: bytes


class Missing(Enum):
    """Why there is no crop of a name: it was kept and is gone, or never was."""

    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RingStatus:
    """What is there, and what became of crops since the start.

    Attributes:
        num_crops: Crops that are there.
        num_bytes: What they take of the disk.
        num_kept: Crops that were taken in.
        num_expired: Crops that went, by age or for newer ones.
        num_lost: Crops that could not be kept, or were lost with their file.
    """

    num_crops: int = 0
    num_bytes: int = 0
    num_kept: int = 0
    num_expired: int = 0
    num_lost: int = 0


class CropRing:
    """Keeps crops. Safe to use from several threads. Its file is opened when it is first needed.

    Args:
        path: The file; the agent alone uses it.
        spool_id: Of the spool that names the crops.
        secret: Gives the secret of this machine, see `edge.ring_key`; may raise OSError.
        settings: Bounds.
        reserve_bytes: Of the disk's free space, what the ring leaves to others.
        clock: Seconds since the Unix epoch.
        free_bytes: Of the disk that holds a folder.

    Attributes:
        faults: What went wrong.
    """

    def __init__(
        self,
        path: Path,
        *,
        spool_id: str,
        secret: Callable[[], bytes],
        settings: RingSettings,
        reserve_bytes: int = 0,
        clock: Callable[[], float] = time.time,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.faults = Faults("ring")
        self._path = path
        self._spool_id = spool_id
        self._secret = secret
        self._settings = settings
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._opened: RingFile | None = None
        self._is_closed = False
        self._tidied_s = -_TIDY_INTERVAL_S
        self._num_crops = self._num_bytes = self._num_kept = self._num_expired = self._num_lost = 0

    @property
    def status(self) -> RingStatus:
        """How it stands; figures may be one turn apart."""
        return RingStatus(self._num_crops, self._num_bytes, self._num_kept, self._num_expired, self._num_lost)

    def keep(self, crops: Sequence[NumberedCrop]) -> int:
        """Encode, encrypt and store crops; returns how many are kept. The others are counted as faults."""
        encoded = [(numbered, jpeg) for numbered in crops if (jpeg := self._encode(numbered)) is not None]
        if not encoded:
            return 0
        try:
            with self._file("write") as file, file.transaction():
                rows = [self._row(file, numbered, jpeg) for numbered, jpeg in encoded]
                num_expired = self._make_room(file, rows)
                if not file.number("first_seq"):
                    file.remember(first_seq=rows[0].seq)
                file.insert(rows)
        except RingError as error:
            self._lose("disk", error, len(encoded))
            return 0
        self._num_kept += len(rows)
        self._num_expired += num_expired
        self._measure()
        return len(rows)

    def find(self, seq: int) -> KeptCrop | Missing:
        """The crop of this name, or why there is none."""
        if not 0 < seq <= _MAX_SEQ:
            return Missing.UNKNOWN
        try:
            with self._file("read") as file:
                row = file.row(seq)
                if row is None:
                    was_kept = file.number("first_seq") <= seq <= file.number("expired_seq")
                    return Missing.EXPIRED if was_kept else Missing.UNKNOWN
                cipher = file.cipher
            if not self._is_young(row.kept_us):
                return Missing.EXPIRED
            return KeptCrop(seq, row.time_us, row.box, cipher.unseal(row.sealed, label=_label(row)))
        except (RingError, TypeError, struct.error) as error:  # the last two: a number that is none any more
            self.faults.note("read", error)
            return Missing.EXPIRED

    def forget(self, seqs: Sequence[int]) -> None:
        """Delete crops for good, those of them that are there; none is left in the file when this returns.

        Raises:
            RingError: Some may still be there.
        """
        kept = [seq for seq in seqs if 0 < seq <= _MAX_SEQ]
        for first in range(0, len(kept), _MAX_AGED):
            with self._file("delete from") as file, file.transaction():
                file.delete(kept[first : first + _MAX_AGED])
        with self._file("delete from") as file:
            file.flush()
        self._measure()

    def tidy(self) -> None:
        """Delete what is too old, and everything where the disk is full; does so every 10 s, whenever it is called."""
        if abs(self._clock() - self._tidied_s) < _TIDY_INTERVAL_S:
            return
        self._tidied_s = self._clock()
        try:
            if self._is_disk_full():
                self._give_up()
            with self._file("tidy") as file, file.transaction():
                now_us = self._now_us()
                span_us = round(self._settings.keep_days * _DAY_US)
                aged = file.kept_outside(now_us - span_us, now_us + span_us, number=_MAX_AGED)
                if aged:
                    self._expire(file, aged)
        except RingError as error:
            self.faults.note("tidy", error)
            return
        self._num_expired += len(aged)
        self._measure()

    def read_traffic(self) -> tuple[int, int]:
        """The day (since the Unix epoch) on which crops were last sent, and the bytes sent on it; zeros if unknown."""
        try:
            with self._file("read") as file:
                return file.number("traffic_day"), file.number("traffic_bytes")
        except RingError as error:
            self.faults.note("read", error)
            return 0, 0

    def write_traffic(self, day: int, num_bytes: int) -> None:
        """Remember what `read_traffic` tells."""
        try:
            with self._file("write") as file, file.transaction():
                file.remember(traffic_day=day, traffic_bytes=num_bytes)
        except RingError as error:
            self.faults.note("disk", error)

    def lose(self, number: int) -> None:
        """Count crops that were given up before they came here."""
        self._num_lost += number

    def close(self) -> None:
        """Close the file; nothing is kept any more. Safe to call twice."""
        with self._lock:
            self._is_closed = True
            self._close_file()

    def _encode(self, numbered: NumberedCrop) -> bytes | None:
        crop = numbered.crop
        try:
            if crop.shape != (INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3):
                raise RingError(f"crop {numbered.seq} has shape {crop.shape}")
            quality = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
            return bytes(cv2.imencode(".jpg", crop, quality)[1].tobytes())
        except (RingError, cv2.error) as error:
            self._lose("encode", error, 1)
            return None

    def _row(self, file: RingFile, numbered: NumberedCrop, jpeg: bytes) -> CropRow:
        observation = numbered.observation
        box = Box(*(float(side) for side in observation.box))
        row = CropRow(numbered.seq, self._now_us(), observation.time_us, box, b"")
        return row._replace(sealed=file.cipher.seal(jpeg, label=_label(row)))

    def _make_room(self, file: RingFile, rows: Sequence[CropRow]) -> int:
        """Delete the oldest crops until the new ones fit; returns how many."""
        needed = sum(len(row.sealed) + file.page_bytes + _ROW_OVERHEAD_BYTES for row in rows)
        growth = max(0, self._free_bytes(self._path.parent) - self._reserve_bytes)
        limit = min(self._settings.limit_mib << 20, file.file_bytes + growth)
        num_deleted = 0
        while (excess := file.used_bytes + needed - limit) > 0:
            present = file.num_crops
            if not present:
                raise RingError(f"no room for {needed} bytes of crops: {limit} may be used, the rest is the spool's")
            oldest = file.oldest(max(1, excess * present // file.used_bytes))
            self._expire(file, oldest)
            num_deleted += len(oldest)
        return num_deleted

    def _expire(self, file: RingFile, seqs: Sequence[int]) -> None:
        file.delete(seqs)
        file.remember(expired_seq=max(file.number("expired_seq"), *seqs))

    def _measure(self) -> None:
        try:
            with self._file("read") as file:
                self._num_crops, self._num_bytes = file.num_crops, file.used_bytes
        except RingError as error:
            self.faults.note("read", error)

    def _is_young(self, kept_us: int) -> bool:
        """By the distance, so that a clock which was set back does not keep crops for ever."""
        return abs(self._now_us() - kept_us) <= self._settings.keep_days * _DAY_US

    def _is_disk_full(self) -> bool:
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            return size > _WORTH_BYTES and self._free_bytes(self._path.parent) < _LAST_MIB << 20
        except OSError as error:
            raise RingError(f"cannot look at the disk of {self._path}: {error}") from None

    def _give_up(self) -> None:
        with self._lock:
            self._start_anew(f"less than {_LAST_MIB} MiB of its disk are free")

    def _lose(self, kind: str, error: Exception, number: int) -> None:
        self._num_lost += number
        self.faults.note(kind, error, number=number)

    def _now_us(self) -> int:
        return round(self._clock() * 1e6)

    @contextmanager
    def _file(self, deed: str) -> Iterator[RingFile]:
        """Hold the lock and the open file. After any trouble it is closed, and opened again by the next one."""
        with self._lock:
            if self._is_closed:
                raise RingError("the crop ring is closed")
            try:
                if self._opened is None:
                    self._opened = open_ring_file(self._path, spool_id=self._spool_id, secret=self._secret)
                yield self._opened
            except (sqlite3.Error, OSError) as error:
                self._close_file()
                if is_damage(error) or "is full" in str(error):
                    self._start_anew(str(error))
                raise RingError(f"cannot {deed} crop ring {self._path}: {error}; check its disk") from None

    def _start_anew(self, reason: str) -> None:
        """Delete the file; the caller holds the lock."""
        self._close_file()
        self._num_lost += self._num_crops
        self._num_crops = self._num_bytes = 0
        try:
            remove_ring_file(self._path, reason=reason)
        except OSError as error:
            raise RingError(f"cannot delete crop ring {self._path}: {error}") from None

    def _close_file(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _label(row: CropRow) -> bytes:
    """What a sealed JPEG is bound to."""
    return struct.pack("<qqq4d", *row[:3], *row.box)
