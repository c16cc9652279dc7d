"""What Prometheus reads of a server. Built when the page is asked for, from the counts of its parts.

Labels name edges (hundreds at a site), never cameras or persons (thousands). Counters begin at 0 with the process,
save `observations_stored`, which the records remember.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from reid.exposition import ExpositionSettings, Families
from server.counts import StreamCounts
from server.ingest import Ingest
from server.served import Served
from server.types import Spool, SpoolState
from server.writer import Writer

_FAMILIES = Families("osprey_server")


class MetricsSettings(ExpositionSettings):
    """Where Prometheus reads the server's metrics."""

    listen: str = "127.0.0.1:9464"
    """IP:PORT of the page http://IP:PORT/metrics, without log-in; port 0 takes a free one, empty turns it off."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ServerCollector(Collector):
    """Makes the metric families of one server's parts; called by the thread of the page.

    Attributes:
        ingest: Its counts and what is durable.
        writer: Its counts and queue.
        served: The release, and the size of its gallery.
        streams: Counts of the edges' streams.
        connected: Names the edges whose stream is open.
        started_at_us: When it started, microseconds since the Unix epoch.
        closed_loop: Makes the families of adaptation and roll-outs.
    """

    ingest: Ingest
    writer: Writer
    served: Served
    streams: StreamCounts
    connected: Callable[[], Iterable[str]]
    started_at_us: int
    closed_loop: Callable[[], Iterable[Metric]] = tuple

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._observations()
        yield from self._edges()
        yield from self._latencies()
        yield from self._identities()
        yield from self._state()
        yield from self.closed_loop()

    def _observations(self) -> Iterator[Metric]:
        edges = dict(self.streams.edges)
        counts = self.ingest.counts
        for name, text, values in (
            ("received", "Read from streams.", {e: edge.received for e, edge in edges.items()}),
            (
                "acknowledged",
                "Answered to their edge.",
                {e: edge.acknowledged for e, edge in edges.items()},
            ),
            ("stored", "Stored, over the life of the records.", _stored(self.ingest.spools())),
            ("duplicate", "Came again and changed nothing.", dict(counts.duplicates)),
            ("rejected", "Refused for good.", dict(counts.rejected)),
        ):
            yield _FAMILIES.counter(f"observations_{name}", f"Observations: {text}", values, ["edge_id"])

    def _edges(self) -> Iterator[Metric]:
        edges, connected = dict(self.streams.edges), set(self.connected())
        last_seen_us = _last_seen_us(self.ingest.spools())
        rows: tuple[tuple[str, str, Mapping[str, float]], ...] = (
            ("connected", "1 while the stream is open.", {e: e in connected for e in {*last_seen_us, *connected}}),
            (
                "last_seen_timestamp_seconds",
                "When its latest batch was stored.",
                {edge_id: time_us / 1e6 for edge_id, time_us in last_seen_us.items()},
            ),
            (
                "spool_depth",
                "Observations that waited in its spool behind its latest batch.",
                {edge_id: edge.spool_depth for edge_id, edge in edges.items()},
            ),
        )
        for name, text, values in rows:
            yield _FAMILIES.gauge(f"edge_{name}", f"Edge: {text}", values, ["edge_id"])
        dropped = {edge_id: edge.spool_dropped for edge_id, edge in edges.items()}
        text = "Edge: observations that its spool lost to its bound, over the life of the spool."
        yield _FAMILIES.counter("edge_spool_dropped", text, dropped, ["edge_id"])

    def _latencies(self) -> Iterator[Metric]:
        for name, text, durations in (
            ("step", "One step of the writer, commit included.", self.writer.counts.step),
            ("commit", "The transaction of one step.", self.ingest.counts.commit),
            ("acknowledgement", "From a batch read to its acknowledgement.", self.streams.acknowledgement),
        ):
            yield _FAMILIES.histogram(f"{name}_seconds", text, {"": durations})

    def _identities(self) -> Iterator[Metric]:
        counts = self.ingest.counts
        for name, text, count in (
            ("tracklets", "Tracklets begun.", counts.tracklets),
            ("matches", "Tracklets that joined a person known before.", counts.matches),
            ("persons_made", "Persons made.", counts.new_persons),
            ("persons_confirmed", "Persons that are no longer provisional.", counts.confirmed_persons),
            ("persons_folded", "Persons that go on under another person_id.", counts.folds),
        ):
            yield _FAMILIES.counter(name, text, {"": count})
        for name, text, count in (
            ("persons", "Confirmed persons of the known spaces.", self.ingest.num_persons),
            ("persons_provisional", "Provisional persons of the known spaces.", self.ingest.num_provisional),
            ("tracklets_left_out", "Stored in spaces that no alignment joins.", self.ingest.num_left_out),
        ):
            yield _FAMILIES.gauge(name, text, {"": count})
        yield _FAMILIES.gauge("gallery_prototypes", "Vectors in the gallery.", {"": len(self.served.now.gallery)})

    def _state(self) -> Iterator[Metric]:
        counts = self.writer.counts
        for name, text, value in (
            ("queue_batches", "Batches that wait for the writer.", self.writer.num_queued),
            ("queue_limit_batches", "Batches that may wait before streams do.", self.writer.queue_batches),
            ("writer_failing", "1 while the records cannot be written.", self.writer.is_failing),
            ("start_timestamp_seconds", "When the server started.", self.started_at_us / 1e6),
        ):
            yield _FAMILIES.gauge(name, text, {"": value})
        text = "Steps of which nothing was stored, because the records could not be written."
        yield _FAMILIES.counter("storage_failures", text, {"": counts.failures})
        release = asdict(self.served.now.release.ref)
        yield _FAMILIES.info("release_info", "What is served; embeddings of one space are comparable.", release)


def _stored(spools: Mapping[Spool, SpoolState]) -> dict[str, int]:
    """Observations stored, over all spools of each edge."""
    stored: defaultdict[str, int] = defaultdict(int)
    for spool, state in spools.items():
        stored[spool.edge_id] += state.num_observations
    return dict(stored)


def _last_seen_us(spools: Mapping[Spool, SpoolState]) -> dict[str, int]:
    """The last sign of life, over all spools of each edge."""
    last_seen_us: defaultdict[str, int] = defaultdict(int)
    for spool, state in spools.items():
        last_seen_us[spool.edge_id] = max(last_seen_us[spool.edge_id], state.last_seen_us)
    return dict(last_seen_us)
