"""Builds the closed loop over a site: crops on demand, adaptation, gate, releases and roll-outs, and their services."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from protos import (
    adaptation_pb2,
    adaptation_pb2_grpc,
    crops_pb2,
    crops_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    releases_pb2,
    releases_pb2_grpc,
)
from server.adaptation.book import RunBook
from server.adaptation.delivery import Delivery
from server.adaptation.folder import AdaptationFolder
from server.adaptation.gallery_move import GalleryMove
from server.adaptation.gathering import Collecting, Snapshotting
from server.adaptation.gating import Gating
from server.adaptation.hours import is_quiet
from server.adaptation.loop import SYSTEM, AdaptationLoop, Step
from server.adaptation.rollouts import SiteRollouts
from server.adaptation.run import RunState
from server.adaptation.site_facts import SiteFacts
from server.adaptation.training import Training
from server.adaptation.view import view_of
from server.adaptation.watch import JobWatch
from server.api.adaptation import AdaptationServicer
from server.api.crops import CropServicer
from server.api.door import EdgeStreams
from server.api.fleet import FleetServicer
from server.api.releases import ReleaseServicer
from server.crops.exchange import CropExchange
from server.crops.source import SiteCrops
from server.crops.store import CropStore
from server.errors import StoppingError
from server.loop_metrics import LoopMetrics
from server.loop_parts import LoopParts
from server.releases.fleet import FleetBook
from server.releases.inbox import ReleaseInbox, judge_by_snapshot
from server.releases.ledger import RolloutLedger
from server.releases.renewal import keep_signed
from server.releases.repository import ReleaseRepository
from server.releases.roller import Roller
from server.settings import ServerSettings
from server.site import Site, now_us

ADAPTATION_FOLDER = "adaptation"
CROPS_FOLDER = "crops"
SERVICES = (adaptation_pb2, crops_pb2, fleet_pb2, releases_pb2)
"""Their descriptors name the services of the loop."""
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """The parts of the loop that the server starts and stops.

    Attributes:
        parts: What it consists of.
        crops: Streams on which edges answer for crops.
        fleet: Streams on which they attend.
        metrics: For the page of Prometheus.
        tasks: Everything that runs as long as the server; each is to be awaited once.
    """

    parts: LoopParts
    crops: CropServicer
    fleet: FleetServicer
    metrics: LoopMetrics
    tasks: tuple[Callable[[], Coroutine[Any, Any, None]], ...]

    @property
    def streams(self) -> tuple[EdgeStreams, ...]:
        """Open streams of edges beside those of observations."""
        return self.crops, self.fleet

    def stop(self) -> None:
        """End all streams; nothing new is asked of the edges."""
        self.crops.stop()
        for edge_id in self.fleet.callers():
            self.fleet.end(edge_id, StoppingError("the server is stopping: attend again later"))


def close_loop(settings: ServerSettings, site: Site, server: grpc.aio.Server) -> ClosedLoop:
    """Build all parts, and add their services to a server that does not serve yet. In the loop's thread.

    Raises:
        StorageError: The records cannot be read.
        SecurityError: The keys that sign releases cannot be read.
        OSError: The data folder cannot be written.
    """
    data = settings.data.resolve()
    repository = ReleaseRepository(data, settings.signing, check_owner=site.lease.renew)
    repository.make()
    parts = _parts(settings, site, data, repository)
    crops, fleet = _add_services(settings, site, parts, repository, server)
    return ClosedLoop(
        parts=parts,
        crops=crops,
        fleet=fleet,
        metrics=LoopMetrics(
            latest_run=parts.runs.latest,
            view=lambda run: view_of(run, parts.run_folder(run.run_key)),
            verdicts=lambda: [known.verdict for known in site.registry.list() if known.verdict is not None],
            latest_rollout=lambda: parts.roller.latest,
            crop_lies=lambda: dict(parts.exchange.lies.counts),
        ),
        tasks=(parts.loop.run, parts.roller.run, partial(keep_signed, repository, every_s=settings.signing.check_s)),
    )


def _parts(settings: ServerSettings, site: Site, data: Path, repository: ReleaseRepository) -> LoopParts:
    crops, exchange, store = _crops(settings, site, data)
    book = FleetBook(settings.rollout, clock_us=now_us)
    ledger = RolloutLedger(site.engine, lease=site.lease)
    roller = _roller(settings, site, data, store=store, repository=repository, ledger=ledger, book=book)
    runs = RunBook(site.engine, lease=site.lease)
    return LoopParts(
        loop=_loop(settings, site, data, runs, crops, SiteRollouts(roller, ledger, SYSTEM)),
        runs=runs,
        run_folder=partial(_run_folder, data),
        roller=roller,
        ledger=ledger,
        book=book,
        inbox=ReleaseInbox(
            site.registry,
            partial(judge_by_snapshot, registry=site.registry, runs=data / ADAPTATION_FOLDER, bounds=settings.gate),
        ),
        crops=crops,
        exchange=exchange,
        store=store,
    )


def _add_services(
    settings: ServerSettings, site: Site, parts: LoopParts, repository: ReleaseRepository, server: grpc.aio.Server
) -> tuple[CropServicer, FleetServicer]:
    """Add all services; gives those that hold streams of edges."""
    crops = CropServicer(parts.exchange, hello_timeout_s=settings.streams.hello_timeout_s)
    fleet = FleetServicer(
        parts.book,
        repository,
        directive_for=parts.roller.directive_for,
        ref_of=lambda space: site.registry.get(space).ref,
    )
    adaptations = AdaptationServicer(parts.loop, parts.runs, parts.run_folder)
    releases = ReleaseServicer(
        site.registry, parts.inbox, parts.roller, parts.ledger, parts.book, site.records.append_audit
    )
    crops_pb2_grpc.add_CropServiceServicer_to_server(crops, server)
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(fleet, server)
    adaptation_pb2_grpc.add_AdaptationServiceServicer_to_server(adaptations, server)
    releases_pb2_grpc.add_ReleaseServiceServicer_to_server(releases, server)
    return crops, fleet


def _crops(settings: ServerSettings, site: Site, data: Path) -> tuple[SiteCrops, CropExchange, CropStore]:
    store = CropStore(
        site.engine,
        data / CROPS_FOLDER,
        quota_bytes=int(settings.crops.quota_mib * _MIB),
        clock_us=now_us,
        lease=site.lease,
    )
    exchange = CropExchange(
        store,
        settings.crops,
        spools=lambda: {state.spool_key: spool for spool, state in site.ingest.spools().items()},
        submit=site.writer.submit_operation,
        clock_us=now_us,
    )
    crops = SiteCrops(
        site.engine,
        store,
        exchange,
        settings.crops,
        spaces=lambda: site.served.spaces,
        read_links=site.records.read_links,
        snapshots=partial(_snapshots, data),
        clock_us=now_us,
    )
    crops.restore()
    site.records.on_deleted = crops.forget
    return crops, exchange, store


def _roller(
    settings: ServerSettings,
    site: Site,
    data: Path,
    *,
    store: CropStore,
    repository: ReleaseRepository,
    ledger: RolloutLedger,
    book: FleetBook,
) -> Roller:
    move = GalleryMove(
        crops=store.in_space_of_others,
        put_means=site.records.put_tracklet_means,
        move=site.move_to,
        submit=site.writer.submit_operation,
        folder=data / ADAPTATION_FOLDER / "embedding",
        settings=settings.adaptation.job,
    )
    return Roller(
        site.registry,
        repository,
        ledger,
        book,
        settings=settings.rollout,
        append_audit=site.records.append_audit,
        clock_us=now_us,
        on_begin=site.add_release,
        on_done=move.to,
    )


def _loop(
    settings: ServerSettings, site: Site, data: Path, book: RunBook, crops: SiteCrops, rollouts: SiteRollouts
) -> AdaptationLoop:
    adaptation, triggers = settings.adaptation, settings.adaptation.triggers
    facts = SiteFacts(
        book,
        site.records,
        site.members,
        spaces=lambda: site.served.spaces,
        path=data / ADAPTATION_FOLDER / "baseline.json",
        settings=triggers,
    )
    return AdaptationLoop(
        book,
        _steps(settings, site, data, crops, rollouts),
        submit=site.writer.submit_operation,
        append_audit=site.records.append_audit,
        look=facts.look,
        served=site.registry.served,
        folder=partial(_run_folder, data),
        settings=triggers,
        keep_snapshots=adaptation.keep_snapshots,
        clock_us=now_us,
    )


def _steps(
    settings: ServerSettings, site: Site, data: Path, crops: SiteCrops, rollouts: SiteRollouts
) -> Mapping[RunState, Step]:
    adaptation, registry = settings.adaptation, site.registry
    folder, job = partial(_run_folder, data), settings.adaptation.job

    def versions(name: str) -> Collection[str]:
        return {known.ref.version for known in registry.list() if known.ref.name == name}

    def must_pause() -> bool:
        triggers = adaptation.triggers
        return triggers.pause_in_quiet_hours and is_quiet(triggers.spans, now_us(), triggers.zone)

    return {
        "collecting": Collecting(crops, adaptation, folder=folder, clock_us=now_us),
        "snapshot": Snapshotting(crops, folder=folder, clock_us=now_us),
        "training": Training(
            JobWatch("training", job, must_pause),
            adaptation,
            release=registry.release,
            versions=versions,
            folder=folder,
            clock_us=now_us,
        ),
        "gating": Gating(
            JobWatch("gate", job),
            release=registry.release,
            register=registry.register,
            bounds=settings.gate,
            num_threads=job.cpus,
            roll_out=adaptation.roll_out,
            folder=folder,
            clock_us=now_us,
        ),
        "rolling_out": Delivery(rollouts, served=registry.served, poll_s=job.poll_s, clock_us=now_us),
    }


def _run_folder(data: Path, run_key: int) -> AdaptationFolder:
    return AdaptationFolder(data / ADAPTATION_FOLDER / str(run_key))


def _snapshots(data: Path) -> Iterator[Path]:
    """Folders of the data sets of all runs, whether they are there or not."""
    return (run / "snapshot" for run in (data / ADAPTATION_FOLDER).glob("*"))
