"""The rules of one edge's stream, without the stream: messages in, batches or errors out.

A malformed stream is refused whole; a malformed observation is refused alone, and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from protos import ingest_pb2
from reid.types import PROTOCOL_VERSION, check_name
from reid.wire_batches import observations_from_proto
from server.admission import Batch
from server.clocks import EdgeClock
from server.errors import ProtocolError, SpaceError, VersionError
from server.settings import StreamSettings
from server.spaces import Spaces
from server.types import Spool

_LARGEST_SEQ = (1 << 63) - 1
"""Records keep sequence numbers as signed 64-bit integers."""


class Session:
    """One accepted hello and what followed.

    Args:
        hello: First message of the stream.
        spaces: Gives what the server knows now.
        settings: Limits.
        clock_us: The server's, microseconds since the Unix epoch.
        former_offset_us: Gives what the clock of an edge was corrected by in its stream before, by edge_id.

    Raises:
        VersionError: The edge speaks another protocol version.
        SpaceError: Its embeddings are of an unknown space, or of another dimension.
        ConfigError: A name is not fit.
        ProtocolError: No camera, too many, or one twice.
    """

    def __init__(
        self,
        hello: ingest_pb2.Hello,
        *,
        spaces: Callable[[], Spaces],
        settings: StreamSettings,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        former_offset_us: Callable[[str], int] = lambda _: 0,
    ) -> None:
        _check_version(hello)
        self.spool = Spool(
            check_name(hello.edge_id, what="edge_id"), check_name(hello.spool_id, what="spool_id of the edge")
        )
        self.camids = _checked_camids(hello, most=settings.max_cameras)
        self._spaces = spaces
        self._settings = settings
        self._last_seq = 0
        self.num_rejected = 0
        self.rejected_reason = ""
        self._space = hello.release.space
        self._dim = self._check_space(hello.release.space, hello.dim)
        self._clock_us = clock_us
        self.clock = EdgeClock(
            sent_at_us=hello.sent_at_us,
            now_us=clock_us(),
            tolerance_s=settings.clock_tolerance_s,
            former_us=former_offset_us(self.spool.edge_id),
        )

    def read(self, message: ingest_pb2.ObservationBatch) -> Batch:
        """Check and decode a batch.

        Raises:
            SpaceError: Its embeddings are of an unknown space.
            ProtocolError: It is empty or too large, its dimension is wrong, or its sequence numbers do not rise.
        """
        self._check_batch(message)
        valid, refused = observations_from_proto(message.observations, camids=self.camids, dim=self._dim)
        valid, misplaced = self.clock.place(valid, now_us=self._clock_us())
        refused.update(misplaced)
        if refused:
            self.num_rejected += len(refused)
            self.rejected_reason = refused[max(refused)]
        return Batch(
            spool=self.spool,
            space=message.space,
            observations=valid,
            last_seq=self._last_seq,
            rejected_seqs=sorted(refused),
        )

    def _check_batch(self, message: ingest_pb2.ObservationBatch) -> None:
        edge_id, count, most = self.spool.edge_id, len(message.observations), self._settings.max_batch_observations
        if not 0 < count <= most:
            raise ProtocolError(f"edge {edge_id} sent a batch of {count} observations, wanted 1 to {most}")
        if message.space != self._space:
            self._check_space(message.space, message.dim)
            self._space = message.space  # its edge has changed the release
        if message.dim != self._dim:
            raise ProtocolError(f"edge {edge_id} sent a batch of dim {message.dim}, said {self._dim} at hello")
        last = self._last_seq
        for observation in message.observations:
            if not last < observation.seq <= _LARGEST_SEQ:
                raise ProtocolError(
                    f"edge {edge_id} sent seq {observation.seq} after {last}: they must rise within 63 bits"
                )
            last = observation.seq
        self._last_seq = last

    def _check_space(self, space: str, dim: int) -> int:
        """Refuse what cannot be brought into the served space; returns the dimension."""
        spaces = self._spaces()
        served = spaces.served
        if not spaces.knows(space) or dim != served.dim:
            raise SpaceError(
                f"edge {self.spool.edge_id} embeds in space {space!r} of dim {dim}, this server serves "
                f"{served.space!r} of dim {served.dim}, and no alignment joins them: give both the same release, or "
                "import the one that the edge runs"
            )
        return dim


def _checked_camids(hello: ingest_pb2.Hello, *, most: int) -> tuple[str, ...]:
    if not 0 < len(hello.camids) <= most:
        raise ProtocolError(f"edge {hello.edge_id} announces {len(hello.camids)} cameras, wanted 1 to {most}")
    camids = tuple(check_name(camid, what=f"camera of edge {hello.edge_id}") for camid in hello.camids)
    twice = sorted({camid for camid in camids if camids.count(camid) > 1})
    if twice:
        raise ProtocolError(f"edge {hello.edge_id} announces cameras {', '.join(twice[:8])} twice, wanted each once")
    return camids


def _check_version(hello: ingest_pb2.Hello) -> None:
    if hello.protocol_version != PROTOCOL_VERSION:
        raise VersionError(
            f"edge {hello.edge_id!r} speaks protocol version {hello.protocol_version}, this server speaks version "
            f"{PROTOCOL_VERSION}: update the older of the two"
        )
