"""Plays a scene to the server's own ingestion, records in a folder of its own, and reads back who was who."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instruments.identity.scene import Scene
from server.gallery.local import LocalGallery
from server.ingest import Ingest
from server.matching.consolidation import ConsolidationSettings, consolidate
from server.matching.online import MatchingSettings
from server.spaces import ServedSpace
from server.storage.database import StorageSettings, open_database
from server.storage.sql import SqlRecords
from server.types import Tracklet

_STEP_US = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What the server made of a scene.

    Attributes:
        online: person_id of every tracklet when all had come.
        consolidated: The same after a consolidation of everything.
        seconds: The steps took, commits included.
    """

    online: dict[tuple[int, int], int]
    consolidated: dict[tuple[int, int], int]
    seconds: float


def replay(scene: Scene, *, threshold: float) -> Replay:
    """Send a scene to an empty server, a second at a time.

    Args:
        scene: What cameras sent.
        threshold: Least cosine of one person's tracklets.
    """
    now_us = [0]
    matching = MatchingSettings(window_s=scene.window_s)
    with tempfile.TemporaryDirectory() as folder:
        records = SqlRecords(open_database(StorageSettings(), data=Path(folder)))
        served = ServedSpace(space=scene.similarity.space, dim=scene.dim, threshold=threshold)
        ingest = Ingest(records, LocalGallery(scene.dim), served=served, matching=matching, clock_us=lambda: now_us[0])
        try:
            started_s = time.perf_counter()
            for end_us, batches in scene.steps(step_us=_STEP_US):
                now_us[0] = end_us
                ingest.step(batches)
            seconds = time.perf_counter() - started_s
            stored = list(records.iter_tracklets(ingest.spaces))
            moves = _consolidated(stored, matching, threshold, next_person_id=ingest.next_person_id())
            return Replay(
                online=_named(records, stored, {}), consolidated=_named(records, stored, moves), seconds=seconds
            )
        finally:
            records.close()


def _consolidated(
    stored: list[Tracklet], matching: MatchingSettings, threshold: float, *, next_person_id: int
) -> Mapping[int, int]:
    """tracklet_key -> person_id of those that a consolidation moves."""
    regroupings = consolidate(
        stored,
        [],
        settings=ConsolidationSettings(),
        maturity=matching.maturity,
        threshold=threshold,
        next_person_id=next_person_id,
    )
    return {key: person_id for regrouping in regroupings for key, person_id in regrouping.moves.items()}


def _named(records: SqlRecords, stored: list[Tracklet], moves: Mapping[int, int]) -> dict[tuple[int, int], int]:
    """person_id by the scene's names of tracklets."""
    numbers = {key: int(camera.camid.removeprefix("c")) for key, camera in records.read_directory().cameras.items()}
    return {
        (numbers[tracklet.camera_key], tracklet.tracklet_id): moves.get(tracklet.tracklet_key, tracklet.person_id)
        for tracklet in stored
    }
