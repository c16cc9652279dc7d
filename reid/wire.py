"""Pairs `x_to_proto` / `x_from_proto` between the domain and the wire. The only importer of `protos` in `reid`."""

from __future__ import annotations

from collections.abc import Sequence

from protos import common_pb2, ingest_pb2
from reid.embedding import pack, unpack
from reid.errors import EmbeddingError, ObservationError
from reid.types import Box, Observation, ReleaseRef, SpooledObservation, check_storable


def box_to_proto(box: Box) -> common_pb2.Box:
    """A box as a message."""
    return common_pb2.Box(x1=box.x1, y1=box.y1, x2=box.x2, y2=box.y2)


def box_from_proto(message: common_pb2.Box) -> Box:
    """A box from its message."""
    return Box(message.x1, message.y1, message.x2, message.y2)


def release_to_proto(release: ReleaseRef) -> common_pb2.ReleaseRef:
    """A release's name as a message."""
    return common_pb2.ReleaseRef(name=release.name, version=release.version, space=release.space)


def release_from_proto(message: common_pb2.ReleaseRef) -> ReleaseRef:
    """A release's name from its message."""
    return ReleaseRef(name=message.name, version=message.version, space=message.space)


def observation_to_proto(spooled: SpooledObservation, *, camids: Sequence[str]) -> ingest_pb2.Observation:
    """An observation as a message.

    Args:
        spooled: The observation and its sequence number.
        camids: The edge's cameras, in the order of its hello.

    Raises:
        ValueError: The observation's camera is not among them.
    """
    seq, observation = spooled
    return ingest_pb2.Observation(
        seq=seq,
        camera_index=camids.index(observation.camid),
        tracklet_id=observation.tracklet_id,
        time_us=observation.time_us,
        box=box_to_proto(observation.box),
        quality=observation.quality,
        embedding=pack(observation.embedding),
        is_last=observation.is_last,
    )


def observation_from_proto(message: ingest_pb2.Observation, *, camids: Sequence[str], dim: int) -> SpooledObservation:
    """An observation from its message.

    Raises:
        ObservationError: The embedding, the quality, the box or the camera is not valid; the sequence number is named.
    """
    box = box_from_proto(message.box)
    try:
        embedding = unpack(message.embedding, dim=dim)
        check_storable(box, message.quality)
    except (EmbeddingError, ObservationError) as error:
        raise ObservationError(f"observation {message.seq}: {error}") from None
    if message.camera_index >= len(camids):
        raise ObservationError(f"observation {message.seq}: camera {message.camera_index} of {len(camids)} announced")
    observation = Observation(
        camid=camids[message.camera_index],
        tracklet_id=message.tracklet_id,
        time_us=message.time_us,
        box=box,
        quality=message.quality,
        embedding=embedding,
        is_last=message.is_last,
    )
    return SpooledObservation(message.seq, observation)
