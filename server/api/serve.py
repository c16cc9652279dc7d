"""One server process: builds all parts, serves until told to stop, and takes them down so that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import structlog

from protos import ingest_pb2_grpc, search_pb2_grpc
from reid.embedder import OnnxEmbedder
from reid.errors import ConfigError
from reid.release import Release
from server.api.ingest import IngestServicer
from server.api.search import SearchServicer
from server.gallery.exact import ExactGallery
from server.ingest import Ingest, ServedSpace
from server.search import PersonSearch
from server.settings import ServerSettings, check_listen
from server.storage.database import lock_folder, open_database
from server.storage.records import Summaries
from server.storage.sql import SqlRecords
from server.storage.summaries import SqlSummaries
from server.writer import Writer

logger = structlog.get_logger(__name__)

_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
"""A half-open connection is found dead within 40 s; edges may ping every 10 s."""
_VIEWS_PER_PERSON = 64
"""Views of each candidate that a search compares with."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a server holds while it runs."""

    ingest: Ingest
    summaries: Summaries
    search: PersonSearch
    served: ServedSpace
    release: Release


@contextlib.contextmanager
def open_site(settings: ServerSettings, release: Release) -> Iterator[Site]:
    """Open the records, alone, and restore memory from them.

    Raises:
        StorageError: The data folder is in use, or the records cannot be opened.
        ReleaseError: The release cannot be run.
    """
    served = ServedSpace(
        space=release.manifest.space, dim=release.manifest.dim, threshold=release.manifest.thresholds.match
    )
    embedder = OnnxEmbedder(release, num_threads=settings.embedder_threads)
    with lock_folder(settings.data):
        engine = open_database(settings.storage, data=settings.data)
        gallery = ExactGallery(served.dim)
        ingest = Ingest(SqlRecords(engine), gallery, served=served, matching=settings.matching, clock_us=_now_us)
        summaries = SqlSummaries(engine)
        read_views = partial(summaries.read_views, space=served.space, most_per_person=_VIEWS_PER_PERSON)
        try:
            ingest.restore()
            yield Site(
                ingest=ingest,
                summaries=summaries,
                search=PersonSearch(gallery, embedder, read_views),
                served=served,
                release=release,
            )
        finally:
            engine.dispose()


async def serve(
    settings: ServerSettings, release: Release, *, stop: asyncio.Event, on_listening: Callable[[str], None]
) -> None:
    """Serve until `stop` is set; then answer what was submitted, and close.

    Args:
        settings: Checked settings.
        release: Verified release.
        stop: Ends the server.
        on_listening: Told the address, HOST:PORT with the real port, once calls are taken.

    Raises:
        ConfigError: The address cannot be listened on.
        StorageError: The records cannot be opened.
        ReleaseError: The release cannot be run.
    """
    address = check_listen(settings)
    with open_site(settings, release) as site:
        writer = Writer(site.ingest, settings.writer)
        server, end_streams = _build(settings, site, writer)
        port = _listen(server, address)
        writing = asyncio.create_task(writer.run())
        try:
            await server.start()
            on_listening(f"{address.rpartition(':')[0]}:{port}")
            await _first_of(stop.wait(), writing)
        finally:
            end_streams()
            await server.stop(settings.stop_grace_s)
            await _first_of(writer.close(), writing)
            await writing
    logger.info("stopped")


def _build(settings: ServerSettings, site: Site, writer: Writer) -> tuple[grpc.aio.Server, Callable[[], None]]:
    """The server with its services, and what ends its streams."""
    server = grpc.aio.server(
        maximum_concurrent_rpcs=settings.max_calls,
        options=[
            ("grpc.so_reuseport", 0),  # a second server on this port must fail, not take every other call
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            *_KEEPALIVE,
        ],
    )
    streams = IngestServicer(site.ingest, writer, served=site.served, settings=settings.streams)
    search = SearchServicer(
        site.summaries,
        site.search,
        site.ingest,
        connected_camids=streams.connected_camids,
        release=site.release.ref,
        threshold=site.served.threshold,
        started_at_us=_now_us(),
    )
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(streams, server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(search, server)
    return server, streams.stop


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}: is another server using it? ({error})") from None


async def _first_of(awaited: Awaitable[object], writing: asyncio.Task[None]) -> None:
    """Wait for something, or for a writer that ended by itself, which is a fault of ours."""
    waiting = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait((waiting, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _now_us() -> int:
    return time.time_ns() // 1000
