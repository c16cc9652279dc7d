"""Photos that people search by: in memory only, for a while, and shown to whom they belong alone.

A photo is kept small and without the notes that cameras write into files. Persons in it are found once, when it comes.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

from reid.detector import Detections, Detector
from reid.detector_hog import HogDetector
from reid.detector_onnx import load_onnx_detector
from reid.errors import BoxError, DetectorError
from reid.preprocess import crop_person, decode_image, resize_crop
from reid.types import Box, UInt8Array
from server.errors import NotFoundError

HOG = "hog"
WHOLE = "whole"
_LONG_SIDE_PX = 1920
_JPEG_QUALITY = 95
_MOST_PERSONS = 32
_LEAST_HEIGHT_PX = 24
_CROP_RATIO = 1.8, 3.2
"""Height by width of pictures that were cropped to a person already."""
_MOST_OF_CROP = 0.35
"""Share of such a picture that its person fills at least, whatever the detector thinks of it."""
_PHOTO_HEIGHT_PX = 512
"""No camera takes a photo of such a shape that is smaller: what a detector finds in one is a part of its person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo, kept small.

    Attributes:
        owner: Name of whom it belongs to.
        jpeg: At most 1920 pixels wide and high.
        width_px: Of that.
        height_px: Of that.
        persons: Boxes in its pixels, the surest first; empty where the picture is one person, or nobody was found.
        came_s: Of the book's clock.
    """

    owner: str
    jpeg: bytes
    width_px: int
    height_px: int
    persons: tuple[Box, ...]
    came_s: float

    def crop(self, box: Box | None) -> UInt8Array:
        """One person of it as network input, uint8 (256, 128, 3) BGR; all of it for None.

        Raises:
            BoxError: The box has no area inside the picture.
        """
        picture = decode_image(self.jpeg, name="the photo")
        return resize_crop(picture if box is None else crop_person(picture, box))


class PersonFinder:
    """Finds persons in photos. Any thread may call it; one photo is looked at at a time.

    Args:
        detector: The model.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._lock = Lock()

    def find(self, picture: UInt8Array) -> tuple[Box, ...]:
        """Boxes of persons, the surest first; none where the picture was cropped to one already.

        Args:
            picture: uint8 (H, W, 3) BGR.

        Raises:
            DetectorError: The model failed.
        """
        height, width = picture.shape[:2]
        has_shape_of_one = _CROP_RATIO[0] <= height / width <= _CROP_RATIO[1]
        if has_shape_of_one and height < _PHOTO_HEIGHT_PX:
            return ()
        with self._lock:
            boxes = _tall_enough(self._detector.detect(picture))
        return () if has_shape_of_one and _is_one(boxes, area_px=width * height) else boxes


def open_finder(detector: str, *, min_score: float) -> PersonFinder:
    """The finder that a setting names.

    Args:
        detector: `hog`, or the path of an ONNX file.
        min_score: Weaker boxes are dropped.

    Raises:
        DetectorError: It is neither, or the file cannot be used.
    """
    if detector == HOG:
        return PersonFinder(HogDetector(min_score=min_score))
    if not detector.lower().endswith(".onnx"):
        raise DetectorError(f"web.detector {detector!r}: wanted {HOG!r}, or the path of an ONNX file")
    return PersonFinder(load_onnx_detector(Path(detector), min_score=min_score, num_threads=1))


class PhotoBook:
    """The photos of the last while, the newest within a bound. Any thread may call it.

    Args:
        finder: Finds persons.
        keep_s: How long a photo is kept.
        max_bytes: Of all photos; the oldest make room.
        clock: Monotonic, seconds.
    """

    def __init__(self, finder: PersonFinder, *, keep_s: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._finder = finder
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._photos: OrderedDict[str, Photo] = OrderedDict()
        self._lock = Lock()

    def add(self, content: bytes, owner: str) -> str:
        """Take a photo; gives the key that names it.

        Raises:
            ImageError: The bytes are no picture, or one of too many pixels.
            DetectorError: The detector failed on it.
        """
        picture = _small(decode_image(content, name="the photo"))
        height, width = picture.shape[:2]
        photo = Photo(
            owner=owner,
            jpeg=cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1].tobytes(),
            width_px=width,
            height_px=height,
            persons=self._finder.find(picture),
            came_s=self._clock(),
        )
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._photos[key] = photo
            self._forget()
        return key

    def get(self, key: str, owner: str) -> Photo:
        """A photo of somebody.

        Raises:
            NotFoundError: They have none of this key, or have it no more.
        """
        with self._lock:
            self._forget()
            photo = self._photos.get(key)
        if photo is None or photo.owner != owner:
            raise NotFoundError(
                "this photo is no longer here: they are kept in memory for a while only, so give it again"
            )
        return photo

    def _forget(self) -> None:
        before_s = self._clock() - self._keep_s
        num_bytes = sum(len(photo.jpeg) for photo in self._photos.values())
        while self._photos:
            oldest = next(iter(self._photos.values()))
            if oldest.came_s >= before_s and num_bytes <= self._max_bytes:
                return
            self._photos.popitem(last=False)
            num_bytes -= len(oldest.jpeg)


def read_box(text: str) -> Box | None:
    """A box as pages write it: x1,y1,x2,y2 in pixels, or `whole` for None.

    Raises:
        BoxError: It is neither.
    """
    if text == WHOLE:
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise BoxError(f"box {text[:80]!r}: wanted x1,y1,x2,y2 in pixels, or {WHOLE!r}") from None
    return Box(x1, y1, x2, y2)


def write_box(box: Box | None) -> str:
    """Undo `read_box`, to the pixel."""
    return WHOLE if box is None else ",".join(str(round(value)) for value in box)


def _small(picture: UInt8Array) -> UInt8Array:
    height, width = picture.shape[:2]
    scale = _LONG_SIDE_PX / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _tall_enough(found: Detections) -> tuple[Box, ...]:
    boxes = (Box(*map(float, row)) for row in found.xyxy)
    return tuple(box for box in boxes if box.y2 - box.y1 >= _LEAST_HEIGHT_PX)[:_MOST_PERSONS]


def _is_one(boxes: Sequence[Box], *, area_px: int) -> bool:
    """A picture of the shape of one person shows no more than that one, who fills it."""
    if len(boxes) > 1:
        return False
    return not boxes or (boxes[0].x2 - boxes[0].x1) * (boxes[0].y2 - boxes[0].y1) >= _MOST_OF_CROP * area_px
