"""What the pages may use: the very objects that the gRPC services get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.audit_trail import AuditTrail
from server.consolidator import Consolidator
from server.counts import StreamCounts
from server.crops.demand import CropDemands
from server.identities import Identities
from server.loop_parts import LoopParts
from server.security.registry import Registry
from server.settings import ServerSettings
from server.site import Site
from server.web.rates import RateHistory


@dataclass(frozen=True, kw_only=True)
class Console(LoopParts):
    """The services behind the pages: the parts of the closed loop (`loop_parts`), and these.

    Reading is safe in any thread. What changes identities runs in the writer's: `site.writer.submit_operation`.

    Attributes:
        settings: Of the server; those of the console are `settings.web`.
        site: Records, summaries, registry of releases, writer, search, what is served.
        identities: Merge, split, undo, name, erase.
        consolidator: Clusters anew on demand.
        demands: Crops that were asked for by people who look at a person.
        trail: Notes who asked for what, before it is answered.
        enrolled: Who was let in; None without TLS.
        streams: Counts of the edges' streams.
        rates: How busy the server was lately.
        connected_camids: The edges connected now, and their cameras.
        started_at_us: When the server started.
        clock_us: Microseconds since the Unix epoch.
    """

    settings: ServerSettings
    site: Site
    identities: Identities
    consolidator: Consolidator
    demands: CropDemands
    trail: AuditTrail
    enrolled: Registry | None
    streams: StreamCounts
    rates: RateHistory
    connected_camids: Callable[[], dict[str, tuple[str, ...]]]
    started_at_us: int
    clock_us: Callable[[], int]

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.settings.data
