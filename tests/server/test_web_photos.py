from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from reid.detector import Detections
from reid.errors import BoxError, DetectorError, ImageError
from reid.types import Box, UInt8Array
from server.errors import NotFoundError
from server.web.photos import PersonFinder, PhotoBook, open_finder, read_box, write_box


@dataclass
class FakeDetector:
    """Finds the same boxes in everything."""

    xyxy: tuple[tuple[float, float, float, float], ...] = ()

    def detect(self, frame: UInt8Array) -> Detections:
        boxes = np.array(self.xyxy, dtype=np.float32).reshape(-1, 4)
        return Detections(boxes, np.ones(len(boxes), dtype=np.float32))


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def picture(width_px: int, height_px: int) -> bytes:
    rng = np.random.default_rng(0)
    return cv2.imencode(".jpg", rng.integers(0, 255, (height_px, width_px, 3), dtype=np.uint8))[1].tobytes()


def book(*boxes: tuple[float, float, float, float], clock: Clock | None = None, max_bytes: int = 1 << 24) -> PhotoBook:
    finder = PersonFinder(FakeDetector(boxes))
    return PhotoBook(finder, keep_s=60, max_bytes=max_bytes, clock=clock or Clock())


def test_persons_of_a_photo_are_found_the_surest_first_without_tiny_ones() -> None:
    photos = book((0, 0, 40, 90), (50, 0, 90, 80), (0, 0, 9, 20))
    photo = photos.get(photos.add(picture(200, 100), "ann"), "ann")
    assert photo.persons == (Box(0, 0, 40, 90), Box(50, 0, 90, 80))
    assert photo.crop(photo.persons[0]).shape == (256, 128, 3)


@pytest.mark.parametrize(
    ("boxes", "is_whole"),
    [
        ([], True),
        ([(50, 100, 950, 2100)], True),
        ([(50, 100, 400, 600)], False),
        ([(0, 0, 50, 99), (50, 0, 99, 99)], False),
    ],
    ids=["nobody", "fills it", "small", "two"],
)
def test_a_picture_cropped_to_one_person_is_searched_whole(
    boxes: list[tuple[float, float, float, float]], is_whole: bool
) -> None:
    photos = book(*boxes)
    assert (photos.get(photos.add(picture(1000, 1900), "ann"), "ann").persons == ()) == is_whole


def test_a_small_crop_is_searched_whole_without_a_look_for_parts() -> None:
    photos = book((30, 40, 60, 118), (70, 40, 100, 118))
    assert photos.get(photos.add(picture(128, 256), "ann"), "ann").persons == ()


def test_a_large_photo_is_kept_small() -> None:
    photos = book()
    photo = photos.get(photos.add(picture(4000, 100), "ann"), "ann")
    assert (photo.width_px, photo.height_px) == (1920, 48)


def test_nobody_but_its_owner_sees_a_photo() -> None:
    photos = book()
    key = photos.add(picture(50, 50), "ann")
    with pytest.raises(NotFoundError, match="give it again"):
        photos.get(key, "ben")


def test_photos_are_forgotten_after_a_while() -> None:
    clock = Clock()
    photos = book(clock=clock)
    key = photos.add(picture(50, 50), "ann")
    clock.now_s = 61
    with pytest.raises(NotFoundError):
        photos.get(key, "ann")


def test_the_oldest_photos_make_room() -> None:
    photos = book(max_bytes=2 * len(picture(50, 50)))
    keys = [photos.add(picture(50, 50), "ann") for _ in range(4)]
    assert photos.get(keys[-1], "ann").width_px == 50
    with pytest.raises(NotFoundError):
        photos.get(keys[0], "ann")


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="the photo"):
        book().add(b"nothing", "ann")


def test_boxes_are_written_and_read() -> None:
    assert read_box(write_box(Box(1.2, 2.0, 30.7, 40.0))) == Box(1, 2, 31, 40)
    assert read_box(write_box(None)) is None
    with pytest.raises(BoxError, match="x1,y1,x2,y2"):
        read_box("1,2,3")


def test_a_detector_that_is_no_file_is_refused_at_start() -> None:
    with pytest.raises(DetectorError, match="hog"):
        open_finder("yolo", min_score=0.5)
