"""What is looked at: a frame with boxes for the embedder, and a recording with boxes for the cameras.

Both are of the simulated site, from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reid.preprocess import network_input
from reid.types import Box, UInt8Array
from simulation.detections import noisy_detections
from simulation.site import SimulatedSite, SiteConfig

_SEED = 11
_CAMERA = "c1"
_STEP_FRAMES = 5
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Scene:
    """A decoded frame.

    Attributes:
        image: uint8 (H, W, 3) BGR.
        boxes: People in it, 32 or more; the same ones again, a little off, when there are fewer.
    """

    image: UInt8Array
    boxes: list[Box]

    @property
    def crops(self) -> UInt8Array:
        """The network's input of all boxes."""
        return network_input(self.image, self.boxes)


def draw_scene(*, num_boxes: int = 32) -> Scene:
    """A frame of 1280 x 720 with people at usual distances."""
    site = SimulatedSite(
        SiteConfig(seed=_SEED, num_people=12, num_cameras=1, width_px=1280, height_px=720, duration_s=10)
    )
    counts = [len(site.people_in(_CAMERA, index)) for index in range(0, site.num_frames, _STEP_FRAMES)]
    frame = site.frame(_CAMERA, int(np.argmax(counts)) * _STEP_FRAMES)
    people = [person.box for person in frame.people]
    rng = np.random.default_rng(_SEED)
    boxes = [_moved(people[number % len(people)], rng, number >= len(people)) for number in range(num_boxes)]
    return Scene(frame.image, boxes)


def boxes_of_height(scene: Scene, height_px: int, *, count: int = 8) -> list[Box]:
    """Boxes of one height, 0.4 as wide, at places of the frame."""
    rng = np.random.default_rng(height_px)
    frame_height, frame_width = scene.image.shape[:2]
    width_px = 0.4 * height_px
    lefts, tops = rng.uniform(0, frame_width - width_px, count), rng.uniform(0, frame_height - height_px, count)
    return [Box(left, top, left + width_px, top + height_px) for left, top in zip(lefts, tops, strict=True)]


@dataclass(frozen=True)
class Recording:
    """What every camera shows: forwards, backwards, and so on.

    Attributes:
        pictures: JPEG files.
        rate_hz: Frames a second.
        boxes: Of each picture, as a detector would find them.
    """

    pictures: list[bytes]
    rate_hz: float
    boxes: list[Sequence[Box]]

    @property
    def mean_people(self) -> float:
        """Boxes in a picture, on average."""
        return float(np.mean([len(boxes) for boxes in self.boxes]))

    def position(self, index: int) -> int:
        """Which picture a camera shows as its frame `index`."""
        last = len(self.pictures) - 1
        return last - abs(last - index % (2 * last)) if last else 0

    def write_boxes(self, path: Path, *, num_frames: int) -> None:
        """Write the boxes of the first frames as a MOT `det.txt`."""
        lines = [
            f"{index + 1},-1,{box.x1:.1f},{box.y1:.1f},{box.x2 - box.x1:.1f},{box.y2 - box.y1:.1f},0.9\n"
            for index in range(num_frames)
            for box in self.boxes[self.position(index)]
        ]
        path.write_text("".join(lines), encoding="ascii")


def record(*, num_pictures: int, rate_hz: float) -> Recording:
    """Render a camera of the site, 640 x 360, where about three people are seen at a time."""
    config = SiteConfig(seed=_SEED, num_people=7, num_cameras=1, duration_s=num_pictures / rate_hz, fps_hz=rate_hz)
    site = SimulatedSite(config)
    pictures: list[bytes] = []
    boxes: list[Sequence[Box]] = []
    for index in range(num_pictures):
        frame = site.frame(_CAMERA, index)
        found = noisy_detections(frame.people, config, camid=_CAMERA, index=index)
        boxes.append([Box(*map(float, box)) for box in found.xyxy])
        encoded = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        pictures.append(encoded.tobytes())
    return Recording(pictures, rate_hz, boxes)


def _moved(box: Box, rng: np.random.Generator, is_again: bool) -> Box:
    if not is_again:
        return box
    right, down = rng.uniform(-0.1, 0.1, 2) * (box.x2 - box.x1)
    return Box(box.x1 + right, box.y1 + down, box.x2 + right, box.y2 + down)
