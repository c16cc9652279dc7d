"""The map of a site: a floor plan that an operator gave, and where its cameras hang. Files in the data folder.

`map.json` names the plan and the places; a plan is written before it is named, and removed after it is not. A plan is
decoded and encoded anew: nothing of the file that came is kept but what it shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reid.files import write_atomic, write_json_atomic
from reid.preprocess import decode_image
from server.errors import ConflictError, NotFoundError, StorageError
from server.types import Camera

MAP_FOLDER = "site_map"
_LONGEST_PX = 2400
"""Longer plans are scaled down: a page shows no more."""
_JPEG_QUALITY = 90
_MOST_PLACES = 4096


class Place(BaseModel):
    """Where a camera hangs: shares of the plan's width from its left and of its height from its top."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    edge_id: str
    camid: str
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)


class Plan(BaseModel):
    """A floor plan: its file in the folder, and its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^plan-[0-9a-f]{16}\.jpg$")
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)


class _MapFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    plan: Plan | None = None
    places: list[Place] = []


@dataclass(frozen=True, slots=True)
class MapView:
    """The map at one moment."""

    plan: Plan | None = None
    places: Mapping[Camera, Place] = field(default_factory=dict)


class SiteMap:
    """Keeps the map. Any thread may call it.

    Args:
        folder: Of the files; made with the first change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()

    def view(self) -> MapView:
        """The plan and all places.

        Raises:
            StorageError: The map cannot be read.
        """
        read = self._read()
        return MapView(read.plan, {Camera(place.edge_id, place.camid): place for place in read.places})

    def plan_path(self, file: str) -> Path:
        """The picture of the plan that is kept now.

        Raises:
            NotFoundError: There is none of this name.
        """
        plan = self._read().plan
        if plan is None or plan.file != file:
            raise NotFoundError(f"there is no plan {file!r} any more: load the page of the map again")
        return self._folder / plan.file

    def set_plan(self, content: bytes) -> Plan:
        """Take another plan; the cameras keep their places.

        Args:
            content: A picture: JPEG, PNG or WebP.

        Raises:
            ImageError: It is none, or one of too many pixels.
            StorageError: It cannot be written.
        """
        picture = decode_image(content, name="the floor plan")
        scale = min(1.0, _LONGEST_PX / max(picture.shape[:2]))
        if scale < 1.0:
            scaled = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            picture = np.asarray(scaled, dtype=np.uint8)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
        name = f"plan-{hashlib.sha256(encoded).hexdigest()[:16]}.jpg"
        plan = Plan(file=name, width_px=picture.shape[1], height_px=picture.shape[0])
        with self._lock:
            self._write_plan(plan, encoded)
        return plan

    def remove_plan(self) -> None:
        """Show no plan any more; the cameras keep their places.

        Raises:
            StorageError: The map cannot be written.
        """
        with self._lock:
            self._write_plan(None, b"")

    def arrange(self, placed: Sequence[Place], displaced: Collection[Camera] = ()) -> None:
        """Say where cameras hang, and which are on the map no more; all others stay where they are.

        Raises:
            ConflictError: There would be too many on the map.
            StorageError: The map cannot be written.
        """
        named = {Camera(place.edge_id, place.camid): place for place in placed}
        with self._lock:
            read = self._read()
            kept = {Camera(place.edge_id, place.camid): place for place in read.places}
            places = [place for camera, place in (kept | named).items() if camera not in displaced]
            if len(places) > _MOST_PLACES:
                raise ConflictError(f"the map holds {_MOST_PLACES} cameras, came {len(places)}: leave some out")
            self._write(read.plan, places)

    def _read(self) -> _MapFile:
        path = self._folder / "map.json"
        try:
            return _MapFile.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _MapFile()
        except OSError as error:
            raise StorageError(f"the map {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise StorageError(
                f"the map {path} is damaged ({problem}): remove it, and place the cameras anew"
            ) from None

    def _write_plan(self, plan: Plan | None, encoded: bytes) -> None:
        read = self._read()
        try:
            if plan is not None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomic(self._folder / plan.file, encoded, mode=0o600)
            self._write(plan, read.places)
            for old in self._folder.glob("plan-*.jpg"):
                if plan is None or old.name != plan.file:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"the plan cannot be written to {self._folder}: {error.strerror}") from None

    def _write(self, plan: Plan | None, places: list[Place]) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json_atomic(self._folder / "map.json", _MapFile(plan=plan, places=places).model_dump())
        except OSError as error:
            raise StorageError(f"the map cannot be written to {self._folder}: {error.strerror}") from None
