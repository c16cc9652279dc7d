"""The agent: builds cameras, engine, spool and uplink from settings, runs them in threads, stops them in order.

Order of stopping: cameras end their tracks; the embedding ends; the writer empties the outbox into the spool; the
uplink gets some time for the last acknowledgements. What is left stays in the spool for the next start.

Each worker survives and counts what may happen to it. What escapes from one all the same is a fault of ours: it stops
the agent in the same order, and then ends the process for everybody to see, instead of leaving a dead thread behind.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import partial

import structlog

from edge.batching import BatchingEmbedder
from edge.camera import CameraWorker
from edge.capture import Capture
from edge.crop_answers import CropAnswers
from edge.crops import CropStore
from edge.detectors import SizeFilter, open_detector
from edge.engine import Engine
from edge.enrolment import open_bundle
from edge.errors import InstallError
from edge.health import HealthMeter
from edge.keyframes import KeyframePolicy
from edge.membership import Membership
from edge.metrics import EdgeCollector
from edge.outbox import Outbox
from edge.pace import Pace
from edge.pipeline import CameraPipeline
from edge.releases.first import open_first
from edge.releases.preparation import open_beside
from edge.releases.refresh import Refresh
from edge.releases.store import ReleaseStore
from edge.report import AgentReport, CameraReport, FleetReport, KeptCrops
from edge.ring import CropRing
from edge.ring_key import secret_beside
from edge.settings import AgentSettings
from edge.sources.registry import open_source
from edge.sources.uri import is_live, masked
from edge.spool import Spool
from edge.spool_writer import SpoolWriter
from edge.stage_times import StageTimes, mean_ms, merged_stages
from edge.switches import SwitchGuard, mean_coherence
from edge.tracking import PersonTracker
from edge.tracklet_ids import TrackletIds
from edge.uplink import EdgeIdentity, Uplink, UplinkState
from edge.worker_thread import WorkerThread
from reid.credentials import read_credentials

logger = structlog.get_logger(__name__)

_POLL_S = 0.05
_LOCK_WAIT_S = 2.0
_STOP_DRAIN_S = 2.0
"""A stopped agent waits this long for the last acknowledgements."""


class Agent:
    """One edge agent. Built whole or not at all; `run` once.

    Args:
        settings: Its config.

    Raises:
        OspreyError: The release, the detector, the spool or the crop folder cannot be used.
    """

    def __init__(self, settings: AgentSettings) -> None:
        settings, self._bundle = open_bundle(settings)
        self._settings = settings
        self._crops = _open_crops(settings)
        self._started_s = time.monotonic()
        with ExitStack() as opened:
            self._spool = Spool(settings.spool.path, limit_bytes=settings.spool.limit_mib << 20)
            opened.callback(self._spool.close)
            self._ring = _open_ring(settings, self._spool.spool_id)
            if self._ring is not None:
                opened.callback(self._ring.close)
            store = _open_store(settings, opened)
            self._engine, self._refresh = _open_engine(settings, store)
            self._build()
            self._membership = self._join_fleet(store) if settings.fleet.enabled else None
            self._opened = opened.pop_all()

    def _build(self) -> None:
        settings, now_us = self._settings, time.time_ns() // 1000
        self._uplink = Uplink(settings.server, self._identity, self._spool, settings.uplink, bundle=self._bundle)
        self._outbox = Outbox()
        self._writer = SpoolWriter(
            self._outbox,
            self._spool,
            crops=self._crops,
            notify=self._uplink.wake,
            ring=self._ring,
        )
        self._crop_answers = self._answers_from(self._ring) if self._ring is not None else None
        self._batching = BatchingEmbedder(self._engine, settings.batching)
        tracklet_ids = TrackletIds(self._spool.claim_start_ms(now_us // 1000))
        start_time_us = settings.start_time_us(now_us)
        self._policies = {camid: KeyframePolicy(settings.keyframes) for camid in settings.cameras}
        self._detectors: dict[str, SizeFilter] = {}
        self._cameras = [
            self._open_camera(camid, uri, tracklet_ids, start_time_us) for camid, uri in settings.cameras.items()
        ]

    def _identity(self) -> EdgeIdentity:
        facts = self._engine.facts
        return EdgeIdentity(self._settings.edge_id, list(self._settings.cameras), facts.release, facts.dim)

    def _join_fleet(self, store: ReleaseStore) -> Membership:
        def batches() -> list[tuple[float, int]]:
            durations = self._batching.times.durations().get("embed_batch")
            return durations.cumulative() if durations else []

        health = HealthMeter(self.report, lambda: self._engine.release, batches)
        return Membership(self._settings, self._bundle, store, runs=lambda: self._engine.release, health=health)

    def _answers_from(self, ring: CropRing) -> CropAnswers:
        settings = self._settings
        return CropAnswers(
            settings.server,
            settings.edge_id,
            self._spool.spool_id,
            ring,
            daily_limit_bytes=settings.ring.daily_limit_mib << 20,
            patience=settings.uplink,
            bundle=self._bundle,
        )

    def _open_camera(self, camid: str, uri: str, tracklet_ids: TrackletIds, start_time_us: int) -> CameraWorker:
        settings = self._settings
        detector = self._detectors[camid] = open_detector(
            settings.detector,
            min_score=settings.min_person_score,
            min_height_px=settings.min_person_height_px,
            num_threads=settings.num_threads,
        )
        capture = Capture(
            lambda: open_source(uri, start_time_us=start_time_us),
            camid=camid,
            is_live=is_live(uri),
            settings=settings.capture,
        )
        port = self._batching.port()
        pipeline = CameraPipeline(
            camid,
            detector=detector,
            open_tracker=lambda: PersonTracker(capture.frame_rate_hz, settings.tracking),
            engine=port,
            switches=SwitchGuard(settings.switches),
            policy=self._policies[camid],
            next_tracklet_id=tracklet_ids.next_id,
            keeps_crops=self._crops is not None or self._ring is not None,
        )
        logger.info("camera", camid=camid, uri=masked(uri))
        return CameraWorker(
            camid, capture, pipeline, self._outbox, is_live=is_live(uri), pace=Pace(settings.pace), at_work=port.frame
        )

    @property
    def engine(self) -> Engine:
        """The embedder that it runs."""
        return self._engine

    @property
    def silent_s(self) -> float:
        """Longest time for which one of its loops has not turned, seconds; from any thread."""
        shared = [self._batching.heartbeat, self._refresh.heartbeat, self._writer.heartbeat, self._uplink.heartbeat]
        if self._crop_answers is not None:
            shared.append(self._crop_answers.heartbeat)
        member_s = self._membership.silent_s if self._membership else 0.0
        heartbeats = (*shared, *(worker.heartbeat for worker in self._cameras))
        return max(member_s, *(heartbeat.silent_s for heartbeat in heartbeats))

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; with `once` also until all frames are through and acknowledged.

        Never raises for what a camera, the disk or the server does; see `report`. A worker's fault that nobody
        foresaw is raised, after everything has stopped.
        """
        stop_cameras = threading.Event()
        embedding = WorkerThread("embedding", self._batching.run, threading.Event())
        cameras = [WorkerThread(f"camera-{worker.camid}", worker.run, stop_cameras) for worker in self._cameras]
        writer = WorkerThread("spool-writer", self._writer.run, threading.Event())
        uplink = WorkerThread("uplink", self._uplink.run, threading.Event())
        refresh = WorkerThread("refresh", self._refresh.run, threading.Event())
        answers = [WorkerThread("crops", self._crop_answers.run, threading.Event())] if self._crop_answers else []
        members = self._membership.start() if self._membership else []
        threads = [*cameras, embedding, refresh, writer, uplink, *answers, *members]
        try:
            while not (stop.is_set() or self._is_through(cameras) or any(thread.failure for thread in threads)):
                stop.wait(_POLL_S)
        finally:
            stop_cameras.set()
            refresh.stop.set()
            for thread in (*answers, *members):
                thread.stop.set()
            _join([*cameras, *answers, *members])
            _end(embedding)
            refresh.join(_STOP_DRAIN_S)  # not longer: what it prepares is given up at the next start
            _end(writer)
            self._drain(stop, uplink)
            _end(uplink)
            logger.info("stopped", remaining=self._spool.depth)
        for thread in threads:
            if thread.failure is not None:
                raise thread.failure

    def _is_through(self, cameras: list[WorkerThread]) -> bool:
        return self._settings.once and not any(camera.is_alive for camera in cameras)

    def _drain(self, stop: threading.Event, uplink: WorkerThread) -> None:
        """Wait for the last acknowledgements; a refused edge, or a stop during the wait, ends it early."""
        was_stopped = stop.is_set()
        limit_s = _STOP_DRAIN_S if was_stopped else self._settings.drain_timeout_s
        until_s = time.monotonic() + limit_s
        while self._spool.depth and uplink.is_alive and time.monotonic() < until_s:
            if self._uplink.status.state is UplinkState.REFUSED or (stop.is_set() and not was_stopped):
                return
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Close the spool and let go of the releases; safe to call twice."""
        self._outbox.close()
        self._opened.close()

    def report(self) -> AgentReport:
        """What it has done so far; may be called from any thread, at any time."""
        uplink = self._uplink.status
        return AgentReport(
            edge_id=self._settings.edge_id,
            release=str(self._engine.release),
            cameras={worker.camid: self._report_camera(worker) for worker in self._cameras},
            spooled=self._writer.num_spooled,
            lost=self._writer.num_lost + self._outbox.num_displaced,
            spool_dropped=self._spool.dropped,
            faults=dict(self._writer.faults.counts),
            sent=uplink.sent,
            acknowledged=uplink.acknowledged,
            rejected=uplink.rejected,
            remaining=self._spool.depth,
            bytes_sent=uplink.bytes_sent,
            uplink=uplink.state.value,
            problem=uplink.problem,
            queued=self._outbox.depth,
            backend=self._engine.backend,
            precision=self._engine.precision,
            stage_ms=mean_ms(self._times()),
            embed_queued=self._batching.depth,
            batches=self._batching.counts,
            duration_s=round(time.monotonic() - self._started_s, 3),
            refresh=self._refresh.status,
            coherence=self._coherence(),
            fleet=self._membership.status if self._membership else FleetReport(),
            crops=self._report_crops(),
        )

    def _coherence(self) -> float:
        space = self._engine.release.space
        return round(mean_coherence(worker.pipeline.coherence_in(space) for worker in self._cameras), 4)

    def _report_crops(self) -> KeptCrops:
        if self._ring is None or self._crop_answers is None:
            return KeptCrops()
        ring, answers = self._ring.status, self._crop_answers.status
        return KeptCrops(
            kept=ring.num_crops,
            kept_bytes=ring.num_bytes,
            expired=ring.num_expired,
            lost=ring.num_lost + self._outbox.num_crops_displaced,
            faults=dict(self._ring.faults.counts),
            exchange=answers.state.value,
            problem=answers.problem,
            answers=answers.answers,
            bytes_sent=answers.bytes_sent,
        )

    def collector(self) -> EdgeCollector:
        """Makes its metrics; may be called from any thread, until the agent is closed."""
        return EdgeCollector(
            report=self.report,
            stages=lambda: merged_stages(self._times()),
            oldest_us=self._spool.oldest_us,
        )

    def _times(self) -> list[StageTimes]:
        cameras = [times for worker in self._cameras for times in (worker.pipeline.times, worker.times)]
        return [*cameras, self._batching.times, self._writer.times]

    def _report_camera(self, worker: CameraWorker) -> CameraReport:
        counts = worker.capture.counts
        return CameraReport(
            frames=counts.frames,
            dropped=counts.dropped,
            frames_skipped=worker.pace.num_skipped,
            stride=worker.pace.stride,
            waiting=worker.capture.depth,
            detections=worker.pipeline.num_detections,
            too_small=self._detectors[worker.camid].num_too_small,
            tracks=worker.pipeline.num_tracks,
            switches=worker.pipeline.num_switches,
            selected=self._policies[worker.camid].num_selected,
            reconnects=counts.reconnects,
            faults=_faults(worker),
            failure=str(worker.capture.failure or ""),
        )


def _faults(worker: CameraWorker) -> dict[str, int]:
    faults = dict(worker.pipeline.faults.counts)
    if worker.capture.counts.broken:
        faults["broken_frame"] = worker.capture.counts.broken
    return faults


def _open_store(settings: AgentSettings, opened: ExitStack) -> ReleaseStore:
    """The store of this agent alone, until `opened` is closed."""
    store = ReleaseStore(settings.releases.folder_beside(settings.spool.path), keep=settings.releases.keep)
    if not opened.enter_context(store.held(wait_s=_LOCK_WAIT_S)):
        raise InstallError(f"releases in {store.folder} are in use by another agent: give each its own releases.folder")
    return store


def _open_engine(settings: AgentSettings, store: ReleaseStore) -> tuple[Engine, Refresh]:
    threads = settings.num_threads
    engine, release = open_first(store, settings.release, num_threads=threads, backend=settings.backend)
    prepare = partial(open_beside, num_threads=threads)
    return engine, Refresh(engine, store, release, prepare=prepare, settings=settings.releases)


def _open_ring(settings: AgentSettings, spool_id: str) -> CropRing | None:
    """The ring beside the spool; it leaves the spool as much of the disk as that may take."""
    if not settings.ring.enabled:
        return None
    path = settings.ring.path_beside(settings.spool.path)
    key = b"" if settings.bundle is None else read_credentials(settings.bundle).key_pem.encode()
    return CropRing(
        path,
        spool_id=spool_id,
        secret=lambda: key or secret_beside(path.with_name(f"{path.name}.key")),
        settings=settings.ring,
        reserve_bytes=settings.spool.limit_mib << 20,
    )


def _open_crops(settings: AgentSettings) -> CropStore | None:
    if settings.crops.folder is None:
        return None
    return CropStore(settings.crops.folder, limit_bytes=settings.crops.limit_mib << 20)


def _end(thread: WorkerThread) -> None:
    thread.stop.set()
    thread.join()


def _join(threads: list[WorkerThread]) -> None:
    for thread in threads:
        thread.join()
