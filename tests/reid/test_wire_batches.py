from __future__ import annotations

import numpy as np
import pytest

from protos import ingest_pb2
from reid.embedding import pack
from reid.types import Box, Observation, SpooledObservation
from reid.wire import observation_from_proto, observation_to_proto
from reid.wire_batches import observations_from_proto

CAMIDS = ("c1", "c2")
DIM = 4


def messages(count: int = 3) -> list[ingest_pb2.Observation]:
    look = np.array([0.6, 0.8, 0, 0], dtype=np.float32)
    items = [Observation(CAMIDS[n % 2], n, 7 + n, Box(1, 2, 3, 4), 0.5, look, n == 2) for n in range(count)]
    return [observation_to_proto(SpooledObservation(n + 1, item), camids=CAMIDS) for n, item in enumerate(items)]


def test_a_batch_says_the_same_as_its_observations_one_by_one() -> None:
    valid, refused = observations_from_proto(messages(), camids=CAMIDS, dim=DIM)
    assert refused == {}
    for (seq, item), message in zip(valid, messages(), strict=True):
        expected = observation_from_proto(message, camids=CAMIDS, dim=DIM)
        assert seq == expected.seq
        assert np.allclose(item.embedding, expected.observation.embedding, atol=1e-7)
        assert pack(item.embedding) == message.embedding


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m, "embedding", b"short"), "has 5 bytes, wanted 8"),
        (lambda m: setattr(m, "embedding", bytes(8)), "norm 0"),
        (lambda m: setattr(m, "embedding", np.full(4, np.nan, "<f2").tobytes()), "norm nan"),
        (lambda m: setattr(m, "camera_index", 9), "camera 9 of 2"),
        (lambda m: setattr(m, "quality", 2.0), "quality 2"),
        (lambda m: setattr(m.box, "x2", 0.0), "box"),
    ],
    ids=["size", "zero", "nan", "camera", "quality", "box"],
)
def test_a_bad_observation_is_refused_alone(change: object, reason: str) -> None:
    sent = messages()
    change(sent[1])  # type: ignore[operator]
    valid, refused = observations_from_proto(sent, camids=CAMIDS, dim=DIM)
    assert [item.seq for item in valid] == [1, 3]
    assert list(refused) == [2]
    assert reason in refused[2]
