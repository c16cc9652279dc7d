"""Records of a large site for the console to page through: people seen for weeks, some crops, changes, an audit log.

Made directly in SQLite, in order of time: person P is seen in `CAMERAS_EACH` neighbouring cameras, again and again over
`DAYS` days. Shape letters: N tracklets of a page, D embedding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sqlalchemy import Engine, insert, select

from reid.embedding import normalise
from reid.types import FloatArray
from server.api.closed_loop import CROPS_FOLDER
from server.crops.store import ArrivedCrop, CropStore
from server.storage.bulk import insert_rows
from server.storage.schema import (
    audit,
    cameras,
    identity_events,
    identity_moves,
    identity_persons,
    links,
    observations,
    persons,
    spools,
    tracklets,
)
from server.types import CropName
from simulation.golden import golden_crops

CAMERAS, CAMERAS_EACH, PER_PERSON, DAYS = 100, 5, 10, 28
_PER_EDGE = 4
_PAGE = 10_000
_SECOND_US = 1_000_000
_NAME_EVERY = 50
_MERGED, _WITH_CROPS, _AUDITED = 0.01, 0.005, 0.5
"""Shares: persons who took in another; tracklets, the latest, with a crop here; audit entries to persons."""
_OBSERVATIONS, _QUALITY, _COHERENCE = 20, 0.7, 0.8
_BOX = (20.0, 20.0, 84.0, 148.0)
_LINK_COLUMNS = ("link_key", "event_key", "one_tracklet_key", "other_tracklet_key", "kind")
_TRACKLET_COLUMNS = (
    *("tracklet_key", "camera_key", "tracklet_id", "space", "person_id", "start_us", "end_us"),
    *("num_observations", "weight", "embedding_sum", "is_closed", "updated_us"),
)
_OBSERVATION_COLUMNS = (
    *("spool_key", "seq", "tracklet_key", "time_us", "x1", "y1", "x2", "y2", "quality", "embedding"),
)


def fill_records(engine: Engine, data: Path, num_persons: int, *, space: str, dim: int) -> None:
    """Write persons with `PER_PERSON` tracklets each, and all that hangs on them.

    Args:
        engine: An empty database.
        data: The server's folder, for the crops.
        num_persons: How many.
        space: Of the embeddings.
        dim: Their numbers.
    """
    now_us = time.time_ns() // 1000
    with engine.begin() as connection:
        connection.execute(insert(cameras), [_camera(key) for key in range(1, CAMERAS + 1)])
        connection.execute(insert(spools), [_spool(key, now_us) for key in range(1, CAMERAS // _PER_EDGE + 1)])
        for keys in _pages(num_persons):
            rows = [(key, now_us, now_us, f"visitor {key}" if key % _NAME_EVERY == 0 else None) for key in keys]
            insert_rows(connection, persons, ("person_id", "created_us", "confirmed_us", "name"), rows)
    rng = np.random.default_rng(0)
    looks_PD = normalise(rng.standard_normal((num_persons, dim)).astype(np.float32))
    size = num_persons * PER_PERSON
    for keys in _pages(size):
        seen, views = _tracklet_rows(keys, size, looks_PD, rng, space=space, now_us=now_us)
        with engine.begin() as connection:
            insert_rows(connection, tracklets, _TRACKLET_COLUMNS, seen)
            insert_rows(connection, observations, _OBSERVATION_COLUMNS, views)
    _write_crops(engine, data / CROPS_FOLDER, after_key=size - round(_WITH_CROPS * size), now_us=now_us)
    _write_changes(engine, num_persons, now_us=now_us)


def camid_of(camera_key: int) -> str:
    """What a camera is called."""
    return f"c{camera_key:03}"


def _pages(size: int) -> Iterator[range]:
    for first in range(1, size + 1, _PAGE):
        yield range(first, min(first + _PAGE, size + 1))


def _camera(key: int) -> dict[str, Any]:
    return {"camera_key": key, "edge_id": f"edge{_spool_of(key):02}", "camid": camid_of(key)}


def _spool(key: int, now_us: int) -> dict[str, Any]:
    name = {"spool_key": key, "edge_id": f"edge{key:02}", "spool_id": "s1"}
    return {**name, "acked_seq": 1 << 40, "num_observations": 1000, "last_seen_us": now_us}


def _spool_of(camera_key: int) -> int:
    return 1 + (camera_key - 1) // _PER_EDGE


def _tracklet_rows(
    keys: range, size: int, looks_PD: FloatArray, rng: np.random.Generator, *, space: str, now_us: int
) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
    """Rows of tracklets and of one view of each; the last tracklets are the latest."""
    num_persons = len(looks_PD)
    person_ids = [1 + (key * 7919) % num_persons for key in keys]
    noise_ND = normalise(rng.standard_normal((len(keys), looks_PD.shape[1])).astype(np.float32))
    seen_ND = normalise(_COHERENCE * looks_PD[np.array(person_ids) - 1] + (1 - _COHERENCE) * noise_ND)
    sums_ND = (_OBSERVATIONS * _QUALITY * seen_ND).astype("<f4")
    seen: list[Sequence[Any]] = []
    views: list[Sequence[Any]] = []
    for key, person_id, embedding, embedding_sum in zip(keys, person_ids, seen_ND, sums_ND, strict=True):
        camera_key = 1 + (person_id * 7 + key % CAMERAS_EACH) % CAMERAS
        start_us = now_us - (size - key + 1) * (DAYS * 86_400 * _SECOND_US // size) - 30 * _SECOND_US
        end_us = start_us + 20 * _SECOND_US
        pooled = (_OBSERVATIONS, _OBSERVATIONS * _QUALITY, embedding_sum.tobytes(), True, end_us)
        seen.append((key, camera_key, key, space, person_id, start_us, end_us, *pooled))
        view = embedding.astype("<f2").tobytes()
        views.append((_spool_of(camera_key), key, key, start_us, *_BOX, _QUALITY, view))
    return seen, views


def _write_crops(engine: Engine, folder: Path, *, after_key: int, now_us: int) -> None:
    """Crops of the latest tracklets, all of the same few pictures."""
    jpegs = [cv2.imencode(".jpg", crop)[1].tobytes() for crop in golden_crops()]
    columns = observations.c.spool_key, observations.c.seq, observations.c.tracklet_key, observations.c.time_us
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(observations.c.tracklet_key > after_key)).all()
    arrived = [
        ArrivedCrop(CropName(row.spool_key, row.seq), row.tracklet_key, row.time_us, jpegs[number % len(jpegs)])
        for number, row in enumerate(rows)
    ]
    store = CropStore(engine, folder, quota_bytes=1 << 40, clock_us=lambda: now_us)
    store.write_files(arrived)
    store.keep("edge01", arrived, num_crops=len(arrived), num_bytes=sum(len(crop.jpeg) for crop in arrived))


def _write_changes(engine: Engine, num_persons: int, *, now_us: int) -> None:
    """Merges that operators made, with the links they left, and an audit log."""
    merged = range(1, round(_MERGED * num_persons) + 1)
    with engine.begin() as connection:
        events = [(key, now_us - key * _SECOND_US, "merge", "ann") for key in merged]
        insert_rows(connection, identity_events, ("event_key", "time_us", "kind", "actor"), events)
        gone = [num_persons + key for key in merged]
        folded = list(zip(gone, [now_us] * len(gone), merged, strict=True))
        insert_rows(connection, persons, ("person_id", "created_us", "folded_into"), folded)
        moves = [(key, key, num_persons + key, key) for key in merged]
        columns = ("event_key", "tracklet_key", "from_person", "to_person")
        insert_rows(connection, identity_moves, columns, moves)
        changes = [(key, num_persons + key, "folded", key) for key in merged]
        insert_rows(connection, identity_persons, ("event_key", "person_id", "change", "other_person"), changes)
        joined = [(key, key, key, key + num_persons, "must") for key in merged]
        insert_rows(connection, links, _LINK_COLUMNS, joined)
        entries = [
            (now_us - number * _SECOND_US, "ann", "operator", "search", f"photo {number}", "done")
            for number in range(round(_AUDITED * num_persons))
        ]
        insert_rows(connection, audit, ("time_us", "actor", "role", "what", "subject", "outcome"), entries)
