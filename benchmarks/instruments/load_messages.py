"""Messages of simulated edges, written as bytes: a generator must cost little beside the server it loads.

Every observation takes the same number of bytes (sequence numbers and tracklet ids are written as varints of full
width, which every protobuf parser takes), so that a batch is one array of rows and making it is filling columns. The
test parses the bytes with protobuf.

The world: `slots` tracklets are open at each edge at any moment, spread over its cameras; each gives one observation a
second of the edge's time and ends after `tracklet_length`. Then somebody else takes the slot, out of the people of the
neighbourhood: some edges whose cameras see the same people, and who are seen nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protos import common_pb2, ingest_pb2
from reid.embedding import normalise
from reid.types import PROTOCOL_VERSION, AnyArray, IntArray

_VARINT_BYTES = 5
_VIEWS = 4
"""Different embeddings of one person."""
_STRIDE = 1009
"""How far the person who takes a slot is from the one who left it."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What all simulated edges see.

    Attributes:
        space: Space of the embeddings.
        dim: Numbers in one.
        people: How many different persons walk about in one neighbourhood.
        neighbours: Edges in one neighbourhood.
        slots: Tracklets open at one edge.
        cameras: Cameras of one edge.
        tracklet_length: Observations in a tracklet.
        similarity: Expected cosine of two views of one person.
        start_us: Time of the first observation, microseconds since the Unix epoch.
        seed: Of everything random.
    """

    space: str
    dim: int
    people: int = 500
    neighbours: int = 5
    slots: int = 48
    cameras: int = 4
    tracklet_length: int = 20
    similarity: float = 0.85
    start_us: int = 1_700_000_000_000_000
    seed: int = 0

    def looks(self, neighbourhood: int) -> AnyArray:
        """(people * views, D) little-endian halves of unit norm: everybody of one neighbourhood."""
        if neighbourhood not in self._looks:
            rng = np.random.default_rng([self.seed, neighbourhood])
            centres = normalise(rng.standard_normal((self.people, self.dim), dtype=np.float32))
            noise = normalise(rng.standard_normal((self.people * _VIEWS, self.dim), dtype=np.float32))
            of_centre, of_noise = np.sqrt(self.similarity), np.sqrt(1 - self.similarity)
            views = of_centre * np.repeat(centres, _VIEWS, axis=0) + of_noise * noise
            self._looks[neighbourhood] = normalise(views).astype("<f2")
        return self._looks[neighbourhood]

    def hello(self, edge: int, *, sent_at_us: int) -> ingest_pb2.Hello:
        """The first message of an edge's stream."""
        return ingest_pb2.Hello(
            protocol_version=PROTOCOL_VERSION,
            edge_id=f"edge{edge}",
            spool_id="load",
            camids=[f"c{camera}" for camera in range(self.cameras)],
            release=common_pb2.ReleaseRef(name="load", version="1", space=self.space),
            dim=self.dim,
            sent_at_us=sent_at_us,
        )

    def message(self, edge: int, first_seq: int, count: int) -> bytes:
        """A serialised `StreamObservationsRequest` with observations `first_seq` to `first_seq + count - 1`."""
        seqs = np.arange(first_seq, first_seq + count, dtype=np.int64)
        slots, turns = (seqs - 1) % self.slots, (seqs - 1) // self.slots
        staggered = turns + (slots * 7 + edge * 3) % self.tracklet_length
        visits = staggered // self.tracklet_length
        persons = (edge % self.neighbours * self.slots + slots + visits * _STRIDE) % self.people
        rows = np.empty(count, dtype=self._row)
        rows[:] = self._blank
        rows["seq"] = _varints(seqs)
        rows["camera"] = slots % self.cameras
        rows["tracklet"] = _varints(1 + slots + self.slots * visits)
        rows["time_us"] = self.start_us + turns * 1_000_000 + slots * 1000
        looks = self.looks(edge // self.neighbours)
        rows["embedding"] = looks.view(f"V{2 * self.dim}")[persons * _VIEWS + turns % _VIEWS, 0]
        rows["is_last"] = staggered % self.tracklet_length == self.tracklet_length - 1
        body = self._batch_head + rows.tobytes()
        return b"\x12" + _varint(len(body)) + body

    @cached_property
    def _looks(self) -> dict[int, AnyArray]:
        return {}

    @cached_property
    def _batch_head(self) -> bytes:
        return ingest_pb2.ObservationBatch(space=self.space, dim=self.dim).SerializeToString()

    @cached_property
    def _row(self) -> np.dtype[np.void]:
        """One observation with its tag and length in front; `_tN` is the tag of field N."""
        varint = (np.uint8, _VARINT_BYTES)
        fields = [("_tag", np.uint8), ("_length", np.uint8, 2), ("_t1", np.uint8), ("seq", *varint)]
        fields += [("_t2", np.uint8), ("camera", np.uint8), ("_t3", np.uint8), ("tracklet", *varint)]
        fields += [("_t4", np.uint8), ("time_us", "<i8"), ("_box", "V22"), ("_t6", np.uint8), ("quality", "<f4")]
        fields += [("_t7", np.uint8), ("_size", np.uint8, 2), ("embedding", f"V{2 * self.dim}")]
        return np.dtype([*fields, ("_t8", np.uint8), ("is_last", np.uint8)])

    @cached_property
    def _blank(self) -> AnyArray:
        row = np.zeros(1, dtype=self._row)
        for number, wire_type in {1: 0, 2: 0, 3: 0, 4: 1, 6: 5, 7: 2, 8: 0}.items():
            row[f"_t{number}"] = number << 3 | wire_type
        row["_tag"] = 3 << 3 | 2
        row["_length"] = _varints(np.array([self._row.itemsize - 3]), width=2)
        row["_size"] = _varints(np.array([2 * self.dim]), width=2)
        box = common_pb2.Box(x1=100, y1=50, x2=164, y2=210).SerializeToString()
        row["_box"] = np.void(bytes([5 << 3 | 2, len(box)]) + box)
        row["quality"] = 0.7
        return row


def _varints(values_N: IntArray, *, width: int = _VARINT_BYTES) -> AnyArray:
    """(N, width) bytes: varints padded to full width."""
    shifts = 7 * np.arange(width)
    content = (values_N[:, np.newaxis] >> shifts & 0x7F).astype(np.uint8)
    content[:, :-1] |= 0x80
    return content


def _varint(value: int) -> bytes:
    return bytes(_varints(np.array([value]))[0])
