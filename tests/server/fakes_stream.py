"""Observations, batches and whole server parts for the server's tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from protos import common_pb2, ingest_pb2
from reid.alignment import Alignments
from reid.embedder import OnnxEmbedder
from reid.embedding import pack
from reid.release import Release
from reid.types import PROTOCOL_VERSION, Box, FloatArray, Observation, SpooledObservation
from reid.wire import observation_to_proto
from server.admission import Batch
from server.errors import StorageError
from server.gallery.gallery import Gallery
from server.gallery.local import LocalGallery
from server.ingest import Ingest
from server.matching.online import MatchingSettings
from server.served import Served, Serving
from server.spaces import ServedSpace, Spaces
from server.storage.database import StorageSettings, open_database
from server.storage.records import Changes
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.types import Spool

DIM = 8
SERVED = ServedSpace(space="tiny-1-0", dim=DIM, threshold=0.9)
SPACES = Spaces(SERVED)
SPOOL = Spool("edge1", "spool1")
SECOND_US = 1_000_000


def look(person: int, *, noise: float = 0.0) -> FloatArray:
    """The embedding of one of DIM people who look nothing alike; noise tilts it towards the next of them."""
    vector = np.zeros(DIM, dtype=np.float32)
    vector[person % DIM] = 1.0
    vector[(person + 1) % DIM] = noise
    return vector / np.float32(np.linalg.norm(vector))


def observation(
    person: int = 0,
    *,
    camid: str = "cam1",
    tracklet_id: int = 1,
    time_s: float = 0.0,
    quality: float = 1.0,
    noise: float = 0.0,
    is_last: bool = False,
) -> Observation:
    """One observation of a person."""
    return Observation(
        camid=camid,
        tracklet_id=tracklet_id,
        time_us=int(time_s * SECOND_US),
        box=Box(10.0, 20.0, 50.0, 120.0),
        quality=quality,
        embedding=look(person, noise=noise),
        is_last=is_last,
    )


def batch(first_seq: int, *observations: Observation, spool: Spool = SPOOL, space: str = SERVED.space) -> Batch:
    """A batch with consecutive sequence numbers."""
    spooled = [SpooledObservation(first_seq + index, item) for index, item in enumerate(observations)]
    return Batch(spool=spool, space=space, observations=spooled, last_seq=first_seq + len(spooled) - 1)


def hello(edge_id: str = "edge1", *, camids: Sequence[str] = ("cam1", "cam2")) -> ingest_pb2.Hello:
    """A hello that the test server takes."""
    return ingest_pb2.Hello(
        protocol_version=PROTOCOL_VERSION,
        edge_id=edge_id,
        spool_id="spool1",
        camids=camids,
        release=common_pb2.ReleaseRef(name="tiny", version="1", space=SERVED.space),
        dim=DIM,
    )


def batch_message(
    first_seq: int, *observations: Observation, camids: Sequence[str] = ("cam1", "cam2")
) -> ingest_pb2.ObservationBatch:
    """A batch as an edge sends it."""
    messages = [
        observation_to_proto(SpooledObservation(first_seq + index, item), camids=camids)
        for index, item in enumerate(observations)
    ]
    return ingest_pb2.ObservationBatch(space=SERVED.space, dim=DIM, observations=messages)


def half_bytes(person: int) -> bytes:
    """A person's embedding as it goes over the wire."""
    return pack(look(person))


@dataclass
class Clock:
    """A server's clock that tests set."""

    now_us: int = 1_000 * SECOND_US

    def __call__(self) -> int:
        return self.now_us


class FailingRecords(SqlRecords):
    """Records whose next commits fail on request."""

    num_failures = 0

    def commit(self, changes: Changes) -> None:
        if self.num_failures:
            self.num_failures -= 1
            raise StorageError("disk full (on request)")
        super().commit(changes)


@dataclass
class ServerParts:
    """Records on disk, a gallery and the ingestion over them; `reopen` is a restart."""

    data: Path
    clock: Clock = field(default_factory=Clock)
    matching: MatchingSettings = field(default_factory=MatchingSettings)
    serves: ServedSpace = SERVED
    alignments: Alignments = field(default_factory=Alignments)

    def __post_init__(self) -> None:
        self.engine = open_database(StorageSettings(), data=self.data)
        self.records = FailingRecords(self.engine)
        self.summaries = SqlSummaries(self.engine)
        self.gallery: Gallery = LocalGallery(DIM)
        self.ingest = Ingest(
            self.records,
            self.gallery,
            served=self.serves,
            matching=self.matching,
            clock_us=self.clock,
            alignments=self.alignments,
        )
        self.ingest.restore()

    def reopen(self) -> ServerParts:
        self.engine.dispose()
        return replace(self)

    def person_of(self, tracklet_id: int, camid: str = "cam1", edge_id: str = "edge1") -> int:
        return next(
            tracklet.person_id
            for tracklet in self.summaries.iter_summaries(person_id=0, with_sightings=False)
            if (*tracklet.camera, tracklet.tracklet_id) == (edge_id, camid, tracklet_id)
        )


def served_by(parts: ServerParts, release: Release) -> Served:
    """What is served, over these parts, with the network of a release."""
    embedder = OnnxEmbedder(release, num_threads=1)
    return Served(Serving(release=release, embedder=embedder, spaces=parts.ingest.spaces, gallery=parts.gallery))


def open_parts(data: Path) -> Iterator[ServerParts]:
    """Parts over a folder, closed afterwards; for fixtures."""
    parts = ServerParts(data)
    yield parts
    parts.engine.dispose()
