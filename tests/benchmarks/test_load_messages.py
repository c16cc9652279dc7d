from __future__ import annotations

import numpy as np

from benchmarks.instruments.load_messages import World
from protos.ingest_pb2 import StreamObservationsRequest
from reid.types import FloatArray
from reid.wire import observation_from_proto

WORLD = World(space="s-1-0", dim=512, people=50, slots=6, cameras=2, tracklet_length=3)


def test_a_message_is_what_protobuf_would_read() -> None:
    batch = StreamObservationsRequest.FromString(WORLD.message(7, 5, 9)).batch
    assert (batch.space, batch.dim) == ("s-1-0", 512)
    items = [observation_from_proto(item, camids=("c0", "c1"), dim=512) for item in batch.observations]
    assert [item.seq for item in items] == list(range(5, 14))
    assert {item.observation.camid for item in items} == {"c0", "c1"}
    assert all(item.observation.quality == np.float32(0.7) for item in items)
    assert items[0].observation.box == (100, 50, 164, 210)


def test_the_tracklets_of_an_edge_have_the_length_that_was_asked_for() -> None:
    batch = StreamObservationsRequest.FromString(WORLD.message(0, 1, 6 * 12)).batch
    ids = [item.tracklet_id for item in batch.observations]
    whole = [name for name in set(ids) if any(o.is_last and o.tracklet_id == name for o in batch.observations)]
    assert max(ids.count(name) for name in whole) == 3
    assert len({item.time_us for item in batch.observations}) == len(ids)


def test_views_of_one_person_are_alike_and_of_two_are_not() -> None:
    looks = WORLD.looks(0).astype(np.float32)
    assert looks[0] @ looks[1] > 0.75
    assert abs(looks[0] @ looks[4]) < 0.3


def test_people_are_met_by_the_edges_of_their_neighbourhood_alone() -> None:
    first, near, far = (_embeddings(edge) for edge in (0, 1, WORLD.neighbours))
    assert (first @ near.T).max() > 0.75
    assert (first @ far.T).max() < 0.3


def _embeddings(edge: int) -> FloatArray:
    batch = StreamObservationsRequest.FromString(WORLD.message(edge, 1, 20 * WORLD.slots)).batch
    return np.stack([np.frombuffer(item.embedding, "<f2") for item in batch.observations]).astype(np.float32)
