"""What three cameras of a simulated site saw, embedded by the shipped release: no process runs for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

import cv2
import numpy as np

from reid.embedder import Embedder
from reid.preprocess import crop_person, resize_crop
from reid.types import Box, Observation, SpooledObservation, UInt8Array
from server.admission import Batch
from server.types import Spool
from simulation.site import SimulatedSite, SiteConfig

SITE = SiteConfig(seed=7, num_people=7, num_cameras=4, duration_s=70.0, fps_hz=2.0, difficulty="easy")
"""Cameras c1 to c3 are seeded; c4 is for an edge that really runs."""
SEEDED_CAMIDS = ("c1", "c2", "c3")
_TWO_PEOPLE = ("c2", 122)
_LEAST_VISIBLE = 0.5
_LONGEST_GAP = 3
"""Frames without a person that end the tracklet."""
_EMBED_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One person in one frame."""

    camid: str
    index: int
    pid: int
    tracklet_id: int
    box: Box
    quality: float
    crop: UInt8Array


@dataclass(frozen=True)
class SeededPeople:
    """Sights in order of time, and the embedding of each."""

    sights: list[Sight]
    embeddings: list[np.ndarray]

    def batches(self, *, space: str, start_us: int) -> Iterator[list[tuple[Sight, Batch]]]:
        """What the edges would send, frame by frame, with the sight behind each observation."""
        seqs = dict.fromkeys(SEEDED_CAMIDS, 0)
        last = {(sight.camid, sight.tracklet_id): number for number, sight in enumerate(self.sights)}
        by_frame: dict[int, list[tuple[Sight, Batch]]] = {}
        for number, (sight, embedding) in enumerate(zip(self.sights, self.embeddings, strict=True)):
            seqs[sight.camid] += 1
            observation = Observation(
                camid=sight.camid,
                tracklet_id=sight.tracklet_id,
                time_us=start_us + round(sight.index / SITE.fps_hz * 1e6),
                box=sight.box,
                quality=sight.quality,
                embedding=embedding,
                is_last=last[sight.camid, sight.tracklet_id] == number,
            )
            spooled = SpooledObservation(seqs[sight.camid], observation)
            spool = Spool(f"edge-{sight.camid}", "seeded")
            batch = Batch(spool=spool, space=space, observations=[spooled], last_seq=spooled.seq)
            by_frame.setdefault(sight.index, []).append((sight, batch))
        yield from by_frame.values()

    def jpeg_of(self, pid: int, camid: str) -> bytes:
        """The best crop of a person in a camera."""
        seen = [sight for sight in self.sights if (sight.pid, sight.camid) == (pid, camid)]
        return to_jpeg(max(seen, key=attrgetter("quality")).crop)

    def wanderer(self) -> int:
        """The pid who was seen best by all seeded cameras."""
        return max({sight.pid for sight in self.sights}, key=lambda pid: min(self._num_seen(pid)))

    def _num_seen(self, pid: int) -> list[int]:
        return [sum((s.pid, s.camid) == (pid, camid) for s in self.sights) for camid in SEEDED_CAMIDS]


def see_people(embedder: Embedder) -> SeededPeople:
    """Render what the seeded cameras saw, cut out who is clear enough, and embed them."""
    site = SimulatedSite(SITE)
    sights = sorted(
        (sight for camid in SEEDED_CAMIDS for sight in _sights(site, camid)), key=attrgetter("index", "camid", "pid")
    )
    crops = [resize_crop(sight.crop) for sight in sights]
    embeddings: list[np.ndarray] = []
    for first in range(0, len(crops), _EMBED_BATCH):
        embeddings += list(embedder.embed(np.stack(crops[first : first + _EMBED_BATCH])))
    return SeededPeople(sights, embeddings)


def frame_with_two() -> UInt8Array:
    """A frame with two people, both of whom the detector of photos finds."""
    return SimulatedSite(SITE).frame(*_TWO_PEOPLE).image


def to_jpeg(image: UInt8Array) -> bytes:
    """A picture as an edge would send it."""
    return cv2.imencode(".jpg", image)[1].tobytes()


def _sights(site: SimulatedSite, camid: str) -> Iterator[Sight]:
    """One camera's sights; who was away for some frames begins another tracklet."""
    seen: dict[int, tuple[int, int]] = {}  # pid -> tracklet_id, latest frame
    for index in range(site.num_frames):
        people = [p for p in site.people_in(camid, index) if p.visible_fraction >= _LEAST_VISIBLE]
        if not people:
            continue
        image = site.frame(camid, index).image
        for person in people:
            tracklet_id, latest = seen.get(person.pid, (0, -_LONGEST_GAP - 1))
            if index - latest > _LONGEST_GAP:
                tracklet_id = 1 + max((known for known, _ in seen.values()), default=0)
            seen[person.pid] = tracklet_id, index
            crop = crop_person(image, person.box)
            yield Sight(
                camid=camid,
                index=index,
                pid=person.pid,
                tracklet_id=tracklet_id,
                box=person.box,
                quality=person.visible_fraction,
                crop=np.ascontiguousarray(crop),
            )
