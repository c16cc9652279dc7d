"""Batches of observations from the wire: all embeddings of a message are decoded as one array.

Says the same of each observation as `reid.wire.observation_from_proto`, an observation at a time and much slower, does.
"""

from __future__ import annotations

from collections.abc import Sequence

from protos import ingest_pb2
from reid.embedding import unpack_rows
from reid.errors import ObservationError
from reid.types import Box, Observation, SpooledObservation, check_storable
from reid.wire import observation_from_proto


def observations_from_proto(
    messages: Sequence[ingest_pb2.Observation], *, camids: Sequence[str], dim: int
) -> tuple[list[SpooledObservation], dict[int, str]]:
    """Observations from their messages.

    Args:
        messages: Of one batch.
        camids: The edge's cameras, in the order of its hello.
        dim: Numbers in an embedding.

    Returns:
        The valid ones, and by sequence number why the others were refused.
    """
    contents = [message.embedding for message in messages]
    if any(len(content) != 2 * dim for content in contents):
        return _one_by_one(messages, camids=camids, dim=dim)
    embeddings_ND, is_unit_N = unpack_rows(b"".join(contents), dim=dim)
    if not is_unit_N.all():
        return _one_by_one(messages, camids=camids, dim=dim)
    valid: list[SpooledObservation] = []
    for message, embedding in zip(messages, embeddings_ND, strict=True):
        corners = message.box
        box = Box(corners.x1, corners.y1, corners.x2, corners.y2)
        camera, seq = message.camera_index, message.seq
        try:
            check_storable(box, message.quality)
            camid = camids[camera]
        except (ObservationError, IndexError):
            return _one_by_one(messages, camids=camids, dim=dim)
        observation = Observation(
            camid, message.tracklet_id, message.time_us, box, message.quality, embedding, message.is_last
        )
        valid.append(SpooledObservation(seq, observation))
    return valid, {}


def _one_by_one(
    messages: Sequence[ingest_pb2.Observation], *, camids: Sequence[str], dim: int
) -> tuple[list[SpooledObservation], dict[int, str]]:
    """The slow way, which knows what is wrong with which."""
    valid: list[SpooledObservation] = []
    refused: dict[int, str] = {}
    for message in messages:
        try:
            valid.append(observation_from_proto(message, camids=camids, dim=dim))
        except ObservationError as error:
            refused[message.seq] = str(error)
    return valid, refused
