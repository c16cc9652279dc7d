"""A bounded folder with the best crop of each tracklet, kept beside the camera; nothing sends it anywhere.

Layout: `{folder}/{camid}/{tracklet_id}.jpg`, 128 x 256 pixels as the network sees them. When the folder outgrows its
bound, the files written longest ago are deleted. Nothing is kept unless the operator names a folder.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import cv2
from pydantic import Field

from reid.errors import ConfigError
from reid.files import write_atomic
from reid.settings import Settings
from reid.types import Observation, UInt8Array

_JPEG_QUALITY = 90
_GAIN = 1.1
"""A view replaces the kept one when its quality is higher by this factor; saves writes."""


class CropSettings(Settings):
    """Whether crops are kept on this machine."""

    folder: Path | None = None
    """Where; nothing is kept without one."""
    limit_mib: int = Field(default=256, ge=1)
    """Largest size of the folder in MiB; about 30,000 crops fit into 256."""


class CropStore:
    """Keeps the best crop of each tracklet. One thread.

    Args:
        folder: Made when missing; crops of earlier runs in it count towards the bound.
        limit_bytes: Largest sum of the files' sizes.

    Raises:
        ConfigError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._best: dict[tuple[str, int], float] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = sorted((path.stat().st_mtime, path, path.stat().st_size) for path in folder.glob("*/*.jpg"))
        except OSError as error:
            raise ConfigError(f"cannot use folder {folder} for crops: {error.strerror}; give another --crops") from None
        self._sizes = OrderedDict((path, size) for _, path, size in found)
        self._total_bytes = sum(self._sizes.values())

    def offer(self, observation: Observation, crop: UInt8Array) -> bool:
        """Keep a crop if it is the best one of its tracklet so far.

        Args:
            observation: What was seen; its quality decides.
            crop: uint8 (256, 128, 3) BGR.

        Returns:
            Whether it was written.

        Raises:
            OSError: The disk is full or broken; the former crop stays, unless it was the oldest in a full folder.
        """
        key = observation.camid, observation.tracklet_id
        is_better = observation.quality > self._best.get(key, -1.0) * _GAIN
        if is_better:
            self._write(self._folder / observation.camid / f"{observation.tracklet_id}.jpg", crop)
            self._best[key] = observation.quality
        if observation.is_last:
            self._best.pop(key, None)
        return is_better

    def _write(self, path: Path, crop: UInt8Array) -> None:
        content = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
        path.parent.mkdir(exist_ok=True)
        while self._sizes and self._total_bytes + len(content) > self._limit_bytes:
            oldest = next(iter(self._sizes))
            oldest.unlink(missing_ok=True)
            self._forget(oldest)
        write_atomic(path, content)
        self._forget(path)  # the former one, only now: until then its file is there
        self._sizes[path] = len(content)
        self._total_bytes += len(content)

    def _forget(self, path: Path) -> None:
        self._total_bytes -= self._sizes.pop(path, 0)
