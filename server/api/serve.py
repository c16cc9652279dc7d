"""One server process: builds all parts, serves until told to stop, and takes them down so that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import structlog

from protos import identity_pb2, identity_pb2_grpc, ingest_pb2, ingest_pb2_grpc, search_pb2, search_pb2_grpc
from reid.exposition import exposed
from reid.release import Release
from server.api.closed_loop import SERVICES, ClosedLoop, close_loop
from server.api.console import serving_console
from server.api.door import PlainDoor, TlsDoor, open_door
from server.api.health import HealthReporter
from server.api.identity import IdentityServicer
from server.api.ingest import IngestServicer
from server.api.search import SearchServicer
from server.audit_trail import AuditTrail
from server.consolidator import Consolidator
from server.identities import Identities
from server.metrics import ServerCollector
from server.retention import Retention
from server.settings import ServerSettings, check_listen
from server.site import Site, now_us, open_site
from server.writer import Writer

logger = structlog.get_logger(__name__)

_EDGE_PING_S = 10.0
"""Edges may ping this often."""


async def serve(
    settings: ServerSettings,
    release: Release,
    *,
    stop: asyncio.Event,
    on_listening: Callable[[str], None],
    on_console: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until `stop` is set; then answer what was submitted, and close.

    Args:
        settings: Checked settings.
        release: Verified release.
        stop: Ends the server.
        on_listening: Told the address, HOST:PORT with the real port, once calls are taken.
        on_console: Told the URL of the console before that; empty if there is none.

    Raises:
        ConfigError: An address cannot be listened on.
        SecurityError: The site has no certificates, or they cannot be read.
        StorageError: The records cannot be opened, or another server took them over.
        ReleaseError: The release cannot be run.
    """
    address = check_listen(settings)
    with open_site(settings, release) as site:
        writer = site.writer
        door = open_door(settings, site.records.append_audit)
        identities = Identities(site.ingest, site.records, site.members, site.summaries, clock_us=now_us)
        consolidator = _consolidator(settings, site, writer, identities)
        server, streams = _build(settings, site, door, identities, consolidator)
        loop = close_loop(settings, site, server)
        health = _add_health(server, writer)
        port = door.listen(server, address)
        writing = asyncio.create_task(writer.run())
        keeping = asyncio.create_task(site.lease.keep())
        aging = _retention(settings, site).run(writer.submit_operation)
        works = health.run(), door.watch(streams, *loop.streams), aging, consolidator.run()
        watching = [keeping, *map(asyncio.create_task, works)]
        adapting = [asyncio.create_task(task()) for task in loop.tasks]
        try:
            await server.start()
            async with _pages(settings, site, identities, consolidator, loop, streams) as console_url:
                on_console(console_url)
                on_listening(f"{address.rpartition(':')[0]}:{port}")
                await _first_of(_first_of(stop.wait(), keeping), writing)
        finally:
            for watch in (*watching, *adapting):
                watch.cancel()
            await health.stop()
            streams.stop()
            loop.stop()
            await server.stop(settings.stop_grace_s)
            await _first_of(writer.close(), writing)
            await writing
            await asyncio.gather(*adapting, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await keeping  # ends by itself only with LeaseLostError
    logger.info("stopped")


@contextlib.asynccontextmanager
async def _pages(
    settings: ServerSettings,
    site: Site,
    identities: Identities,
    consolidator: Consolidator,
    loop: ClosedLoop,
    streams: IngestServicer,
) -> AsyncIterator[str]:
    """Metrics and console; gives the URL of the latter."""
    with exposed(_collector(site, site.writer, streams, loop), settings.metrics) as metrics_url:
        logger.info("metrics", url=metrics_url or "off")
        async with serving_console(
            settings, site, identities=identities, consolidator=consolidator, loop=loop, streams=streams
        ) as console_url:
            logger.info("console", url=console_url or "off")
            yield console_url


def _consolidator(settings: ServerSettings, site: Site, writer: Writer, identities: Identities) -> Consolidator:
    return Consolidator(
        identities,
        site.records,
        site.members,
        writer.submit_operation,
        settings=settings.consolidation,
        maturity=settings.matching.maturity,
        spaces=lambda: site.served.spaces,
        clock_us=now_us,
    )


def _retention(settings: ServerSettings, site: Site) -> Retention:
    return Retention(
        site.records,
        settings.retention,
        spaces=lambda: site.served.spaces,
        let_go=site.ingest.let_go,
        clock_us=now_us,
    )


def _add_health(server: grpc.aio.Server, writer: Writer) -> HealthReporter:
    return HealthReporter(
        server,
        lambda: writer.is_failing,
        services=[
            service.full_name
            for protos in (ingest_pb2, search_pb2, identity_pb2, *SERVICES)
            for service in protos.DESCRIPTOR.services_by_name.values()
        ],
    )


def _collector(site: Site, writer: Writer, streams: IngestServicer, loop: ClosedLoop) -> ServerCollector:
    return ServerCollector(
        ingest=site.ingest,
        writer=writer,
        served=site.served,
        streams=streams.counts,
        connected=streams.connected_edges,
        started_at_us=now_us(),
        closed_loop=loop.metrics,
    )


def _build(
    settings: ServerSettings,
    site: Site,
    door: PlainDoor | TlsDoor,
    identities: Identities,
    consolidator: Consolidator,
) -> tuple[grpc.aio.Server, IngestServicer]:
    """The server with its services, and the one that holds its streams."""
    server = grpc.aio.server(
        interceptors=door.interceptors,
        maximum_concurrent_rpcs=settings.max_calls,
        options=[
            ("grpc.so_reuseport", 0),  # a second server on this port must fail, not take every other call
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            *_keepalive(settings.streams.keepalive_s),
        ],
    )
    streams = IngestServicer(site.ingest, site.writer, spaces=lambda: site.served.spaces, settings=settings.streams)
    search = SearchServicer(
        site.summaries,
        site.search,
        site.ingest,
        AuditTrail(site.records.append_audit, site.writer.submit_operation, now_us),
        connected_camids=streams.connected_camids,
        served=site.served,
        started_at_us=now_us(),
    )
    identity = IdentityServicer(identities, consolidator, site.writer, site.records, site.summaries)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(identity, server)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(streams, server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(search, server)
    return server, streams


def _keepalive(keepalive_s: float) -> list[tuple[str, int]]:
    """Options that find a half-open connection dead, whether anything is sent on it or not."""
    timeout_ms = int(keepalive_s / 3 * 1000)
    return [
        ("grpc.keepalive_time_ms", int(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.ping_timeout_ms", timeout_ms),  # gRPC waits a minute without it, whatever the line above says
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", int(_EDGE_PING_S * 1000)),
    ]


async def _first_of(awaited: Awaitable[object], writing: asyncio.Task[None]) -> None:
    """Wait for something, or for a task that should not have ended by itself."""
    waiting = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait((waiting, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
