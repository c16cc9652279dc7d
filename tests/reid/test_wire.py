from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import ingest_pb2
from reid import wire
from reid.embedding import normalise
from reid.errors import ObservationError
from reid.types import Box, Observation, ReleaseRef, SpooledObservation

CAMIDS = ["c1", "c2"]


def spooled(seq: int = 5, quality: float = 0.5, camid: str = "c2", dim: int = 8) -> SpooledObservation:
    embedding = normalise(np.arange(1.0, dim + 1)[None])[0]
    return SpooledObservation(
        seq, Observation(camid, 1 << 60, 1_700_000_000_000_000, Box(1, 2, 3, 4), quality, embedding)
    )


@given(
    seq=st.integers(1, 2**63),
    tracklet_id=st.integers(0, 2**62),
    time_us=st.integers(0, 2**62),
    quality=st.floats(0, 1, width=32),
    is_last=st.booleans(),
)
def test_an_observation_survives_the_wire(
    seq: int, tracklet_id: int, time_us: int, quality: float, is_last: bool
) -> None:
    embedding = normalise(np.ones((1, 8)))[0]
    sent = Observation("c1", tracklet_id, time_us, Box(0.5, 1, 2, 3), quality, embedding, is_last)
    message = wire.observation_to_proto(SpooledObservation(seq, sent), camids=CAMIDS)
    parsed = ingest_pb2.Observation.FromString(message.SerializeToString())
    got = wire.observation_from_proto(parsed, camids=CAMIDS, dim=8)
    assert got.seq == seq
    np.testing.assert_allclose(got.observation.embedding, embedding, atol=1e-3)
    plain = ("camid", "tracklet_id", "time_us", "box", "quality", "is_last")
    assert [getattr(got.observation, k) for k in plain] == [getattr(sent, k) for k in plain]


def test_an_observation_of_512_numbers_takes_little_more_than_its_embedding() -> None:
    assert wire.observation_to_proto(spooled(dim=512), camids=CAMIDS).ByteSize() <= 1100


def test_a_camera_that_was_not_announced_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="not in list"):
        wire.observation_to_proto(spooled(camid="c9"), camids=CAMIDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": b"\0" * 16}, "observation 5: embedding has norm 0"),
        ({"embedding": b"\0" * 4}, "observation 5: embedding has 4 bytes, wanted 16"),
        ({"camera_index": 2}, "observation 5: camera 2 of 2 announced"),
        ({"quality": 1.5}, "observation 5: quality 1.5"),
        ({"quality": float("nan")}, "observation 5: quality nan"),
    ],
    ids=["zero", "size", "camera", "quality", "nan-quality"],
)
def test_a_hostile_observation_is_named(change: dict[str, object], message: str) -> None:
    proto = wire.observation_to_proto(spooled(), camids=CAMIDS)
    for field, value in change.items():
        setattr(proto, field, value)
    with pytest.raises(ObservationError, match=message):
        wire.observation_from_proto(proto, camids=CAMIDS, dim=8)


@pytest.mark.parametrize("x2", [1.0, float("nan"), float("inf"), -5.0])
def test_an_empty_box_is_refused(x2: float) -> None:
    proto = wire.observation_to_proto(spooled(), camids=CAMIDS)
    proto.box.x2 = x2
    with pytest.raises(ObservationError, match="is empty or not finite"):
        wire.observation_from_proto(proto, camids=CAMIDS, dim=8)


def test_release_survives_the_wire() -> None:
    release = ReleaseRef("a", "1", "a-1-x")
    assert wire.release_from_proto(wire.release_to_proto(release)) == release
