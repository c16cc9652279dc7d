"""Rows of the database, made from what memory holds and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row

from reid.types import FloatArray
from server.types import Spool, SpoolState, Tracklet

_FLOAT = np.dtype("<f4")
_PAGE = 500


POOLED_COLUMNS = (
    *("tracklet_key", "person_id", "start_us", "end_us", "num_observations", "weight", "embedding_sum"),
    *("is_closed", "updated_us", "has_views"),
)
"""The columns that change as a tracklet grows, its key first."""


def pooled_row(tracklet: Tracklet) -> tuple[Any, ...]:
    """The values of `POOLED_COLUMNS`."""
    return (
        tracklet.tracklet_key,
        tracklet.person_id,
        tracklet.start_us,
        tracklet.end_us,
        tracklet.num_observations,
        float(tracklet.weight),
        _native_sum(tracklet).astype(_FLOAT, copy=False).tobytes(),
        tracklet.is_closed,
        tracklet.updated_us,
        True,
    )


def to_tracklet(row: Row[Any]) -> Tracklet:
    """A row of tracklets, in its own space; `storage.brought` brings it into the one that memory is in."""
    return Tracklet(
        tracklet_key=row.tracklet_key,
        camera_key=row.camera_key,
        tracklet_id=row.tracklet_id,
        space=row.space,
        start_us=row.start_us,
        end_us=row.end_us,
        num_observations=row.num_observations,
        weight=row.weight,
        embedding_sum=np.frombuffer(row.embedding_sum, dtype=_FLOAT).astype(np.float32),
        person_id=row.person_id,
        is_closed=bool(row.is_closed),
        updated_us=row.updated_us,
    )


def _native_sum(tracklet: Tracklet) -> FloatArray:
    return tracklet.embedding_sum if tracklet.native_sum is None else tracklet.native_sum


def spool_row(spool: Spool, state: SpoolState) -> dict[str, Any]:
    """A row of spools."""
    return {
        **spool._asdict(),
        "spool_key": state.spool_key,
        "acked_seq": state.acked_seq,
        "num_observations": state.num_observations,
        "last_seen_us": state.last_seen_us,
    }


def spool_state(row: Row[Any]) -> SpoolState:
    """The state that a row of spools holds."""
    return SpoolState(
        spool_key=row.spool_key,
        acked_seq=row.acked_seq,
        num_observations=row.num_observations,
        last_seen_us=row.last_seen_us,
    )


def pages(keys: Sequence[int]) -> Iterable[Sequence[int]]:
    """Split keys into lists short enough for one statement."""
    return (keys[first : first + _PAGE] for first in range(0, len(keys), _PAGE))
