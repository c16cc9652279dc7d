"""Snapshots to judge on: Market-1501 as six cameras, or the simulated site; written and read as a server's are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from reid.preprocess import crop_person, resize_crop
from reid.snapshot import CROPS_FOLDER, Part, Snapshot, SnapshotCrop, write_snapshot
from reid.types import IntArray, UInt8Array
from simulation.site import SimulatedSite, SiteConfig
from train.crop_cache import load_crops
from train.datasets.samples import DISTRACTOR_PID, ReidSample, Split
from train.site import site_of

FRAMES_PER_S = 25
_JPEG_QUALITY = 90
SITE = SiteConfig(seed=5, num_people=30, num_cameras=3, duration_s=60.0, fps_hz=1.0, width_px=480, height_px=270)
_LEAST_VISIBLE = 0.7
_LEAST_HEIGHT_PX = 60
_TRAIN_SHARE = 0.5


@dataclass(frozen=True)
class Sighting:
    """One crop that goes into a snapshot.

    Attributes:
        picture: uint8 (256, 128, 3) BGR.
        camid: From 1.
        tracklet: From 0.
        time_us: Since the start of the recording.
        part: Train or held out.
    """

    picture: UInt8Array
    camid: int
    tracklet: int
    time_us: int
    part: Part


def write_market(folder: Path, split: Split, cache: Path, *, num_train_crops: int, parent: str) -> Snapshot:
    """Some of the people to train on, and all of the others held out.

    Args:
        folder: Made when missing.
        split: Its training people train, its test people are held out.
        cache: Folder of the crop cache.
        num_train_crops: So many of the training crops, whole tracklets.
        parent: Space of the release that the site runs.
    """
    tested = tuple(s for s in (*split.query, *split.gallery) if s.pid > DISTRACTOR_PID)
    parts: tuple[tuple[Part, Sequence[ReidSample]], ...] = (
        ("train", sorted(split.train, key=lambda sample: sample.pid)[:num_train_crops]),
        ("held_out", sorted(tested, key=lambda sample: sample.path.name)),
    )
    sightings: list[Sighting] = []
    apart: list[IntArray] = []
    first = 0
    for part, samples in parts:
        cached = load_crops(tuple(samples), cache)
        site = site_of(cached)
        for sample, crop, tracklet in zip(cached.samples, cached.crops, site.tracklets, strict=True):
            time_us = (sample.sequence * 1_000_000 + sample.frame) * 1_000_000 // FRAMES_PER_S
            sightings.append(Sighting(np.asarray(crop), sample.camid, first + int(tracklet), time_us, part))
        apart.append(site.apart + first)
        first += int(site.tracklets.max()) + 1
    return _write(folder, sightings, np.concatenate(apart), parent=parent)


def write_simulated(folder: Path, *, parent: str, config: SiteConfig = SITE) -> Snapshot:
    """People of the simulated site; the first half of the time trains, the second is held out.

    Args:
        folder: Made when missing.
        parent: Space of the release that the site runs.
        config: The site; at about a frame a second, neighbouring crops differ.
    """
    site = SimulatedSite(config)
    sightings = [sighting for camera in range(config.num_cameras) for sighting in _seen_by(site, camera)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(s.tracklet for s in sightings))}
    renumbered = [Sighting(s.picture, s.camid, numbers[s.tracklet], s.time_us, s.part) for s in sightings]
    return _write(folder, renumbered, _overlapping(renumbered), parent=parent)


def _seen_by(site: SimulatedSite, camera: int) -> Iterator[Sighting]:
    """Everybody whom a camera sees well; a tracklet ends where a person is not seen for a frame, or at half time."""
    runs: dict[int, tuple[int, int]] = {}  # pid -> last frame, start of the run
    half = round(site.num_frames * _TRAIN_SHARE)
    for index in range(site.num_frames):
        frame = site.frame(site.camids[camera], index)
        for person in frame.people:
            if person.visible_fraction < _LEAST_VISIBLE or person.box.height_px < _LEAST_HEIGHT_PX:
                continue
            last, start = runs.get(person.pid, (-2, index))
            start = start if last == index - 1 and index != half else index
            runs[person.pid] = index, start
            yield Sighting(
                resize_crop(crop_person(frame.image, person.box)),
                camera + 1,
                (person.pid * site.config.num_cameras + camera) * site.num_frames + start,
                round(index * 1e6 / site.config.fps_hz),
                "train" if index < half else "held_out",
            )


def _overlapping(sightings: Sequence[Sighting]) -> IntArray:
    """Pairs of tracklets that share a moment of one camera."""
    at_once: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for sighting in sightings:
        at_once[sighting.camid, sighting.time_us].append(sighting.tracklet)
    pairs = {pair for numbers in at_once.values() for pair in pairwise(sorted(numbers))}
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _write(folder: Path, sightings: Sequence[Sighting], apart: IntArray, *, parent: str) -> Snapshot:
    (folder / CROPS_FOLDER).mkdir(parents=True, exist_ok=True)
    crops = []
    for number, sighting in enumerate(sightings):
        path = f"{CROPS_FOLDER}/{number}.jpg"
        content = cv2.imencode(".jpg", sighting.picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        (folder / path).write_bytes(content.tobytes())
        crops.append(SnapshotCrop(path, sighting.camid, sighting.tracklet, sighting.time_us, 1.0, sighting.part))
    num_cameras = max(sighting.camid for sighting in sightings)
    snapshot = Snapshot(
        folder=folder,
        parent=parent,
        made_us=0,
        cameras=tuple(("edge", f"c{number + 1}") for number in range(num_cameras)),
        crops=tuple(crops),
        apart=apart,
        together=np.empty((0, 2), dtype=np.int64),
        provenance={"made_by": "benchmarks.gate"},
    )
    write_snapshot(snapshot)
    return snapshot
