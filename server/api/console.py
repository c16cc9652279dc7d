"""Gives the web console what the gRPC services have, and serves it beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.api.closed_loop import ClosedLoop
from server.api.ingest import IngestServicer
from server.audit_trail import AuditTrail
from server.consolidator import Consolidator
from server.crops.demand import CropDemands
from server.identities import Identities
from server.security.authority import Authority
from server.settings import ServerSettings
from server.site import Site, now_us
from server.web.app import make_app
from server.web.console import Console
from server.web.listener import Listener
from server.web.rates import RateHistory
from server.web.settings import check_web


@asynccontextmanager
async def serving_console(
    settings: ServerSettings,
    site: Site,
    *,
    identities: Identities,
    consolidator: Consolidator,
    loop: ClosedLoop,
    streams: IngestServicer,
) -> AsyncIterator[str]:
    """Serve the console while the block runs, if the settings say so; gives its URL, empty for none.

    Raises:
        ConfigError: Its address cannot be listened on.
        SecurityError: The site has no certificates, or they cannot be read.
    """
    if not check_web(settings.web, insecure=settings.insecure):
        yield ""
        return
    authority = None if settings.insecure else Authority(settings.data)
    console = Console(
        **vars(loop.parts),
        settings=settings,
        site=site,
        identities=identities,
        consolidator=consolidator,
        demands=CropDemands(site.engine, loop.parts.exchange.fetch, settings.crops.demand),
        trail=AuditTrail(site.records.append_audit, site.writer.submit_operation, now_us),
        enrolled=authority.registry if authority else None,
        streams=streams.counts,
        rates=RateHistory(streams.counts, lambda: site.writer.num_queued, now_us),
        connected_camids=streams.connected_camids,
        started_at_us=now_us(),
        clock_us=now_us,
    )
    listener = Listener(make_app(console), settings.web, authority)
    serving, sampling = asyncio.create_task(listener.run()), asyncio.create_task(console.rates.run())
    try:
        yield listener.url
    finally:
        sampling.cancel()
        listener.stop()
        await serving
