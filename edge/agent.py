"""The agent: builds cameras, engine, spool and uplink from settings, runs them in threads, stops them in order.

Order of stopping: cameras end their tracks; the writer empties the outbox into the spool; the uplink gets some time for
the last acknowledgements. What is left stays in the spool for the next start.

Each worker survives and counts what may happen to it. What escapes from one all the same is a fault of ours: it stops
the agent in the same order, and then ends the process for everybody to see, instead of leaving a dead thread behind.
"""

from __future__ import annotations

import threading
import time

import structlog

from edge.camera import CameraWorker
from edge.capture import Capture
from edge.crops import CropStore
from edge.detectors import SizeFilter, open_detector
from edge.engine import Engine, open_engine
from edge.enrolment import open_bundle
from edge.keyframes import KeyframePolicy
from edge.metrics import EdgeCollector
from edge.outbox import Outbox
from edge.pipeline import CameraPipeline
from edge.report import AgentReport, CameraReport
from edge.settings import AgentSettings
from edge.sources.registry import open_source
from edge.sources.uri import is_live, masked
from edge.spool import Spool
from edge.spool_writer import SpoolWriter
from edge.stage_times import mean_ms, merged_stages
from edge.switches import SwitchGuard
from edge.tracking import PersonTracker
from edge.tracklet_ids import TrackletIds
from edge.uplink import EdgeIdentity, Uplink, UplinkState
from edge.worker_thread import WorkerThread

logger = structlog.get_logger(__name__)

_POLL_S = 0.05
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
        self._engine = open_engine(settings.release, num_threads=settings.num_threads, backend=settings.backend)
        self._crops = _open_crops(settings)
        self._spool = Spool(settings.spool.path, limit_bytes=settings.spool.limit_mib << 20)
        self._started_s = time.monotonic()
        try:
            self._build()
        except BaseException:
            self._spool.close()
            raise

    def _build(self) -> None:
        settings, now_us = self._settings, time.time_ns() // 1000
        identity = EdgeIdentity(settings.edge_id, list(settings.cameras), self._engine.release, self._engine.dim)
        self._uplink = Uplink(settings.server, identity, self._spool, settings.uplink, bundle=self._bundle)
        self._outbox = Outbox()
        self._writer = SpoolWriter(
            self._outbox,
            self._spool,
            space=self._engine.release.space,
            crops=self._crops,
            notify=self._uplink.wake,
        )
        tracklet_ids = TrackletIds(self._spool.claim_start_ms(now_us // 1000))
        start_time_us = settings.start_time_us(now_us)
        self._policies = {camid: KeyframePolicy(settings.keyframes) for camid in settings.cameras}
        self._detectors: dict[str, SizeFilter] = {}
        self._cameras = [
            self._open_camera(camid, uri, tracklet_ids, start_time_us) for camid, uri in settings.cameras.items()
        ]

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
        pipeline = CameraPipeline(
            camid,
            detector=detector,
            open_tracker=lambda: PersonTracker(capture.frame_rate_hz, settings.tracking),
            engine=self._engine,
            switches=SwitchGuard(settings.switches),
            policy=self._policies[camid],
            next_tracklet_id=tracklet_ids.next_id,
            keeps_crops=self._crops is not None,
        )
        logger.info("camera", camid=camid, uri=masked(uri))
        return CameraWorker(camid, capture, pipeline, self._outbox, is_live=is_live(uri))

    @property
    def engine(self) -> Engine:
        """The embedder that it runs."""
        return self._engine

    @property
    def silent_s(self) -> float:
        """Longest time for which one of its loops has not turned, seconds; from any thread."""
        beats = [self._writer.heartbeat, self._uplink.heartbeat, *(worker.heartbeat for worker in self._cameras)]
        return max(heartbeat.silent_s for heartbeat in beats)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; with `once` also until all frames are through and acknowledged.

        Never raises for what a camera, the disk or the server does; see `report`. A worker's fault that nobody
        foresaw is raised, after everything has stopped.
        """
        stop_cameras = threading.Event()
        cameras = [WorkerThread(f"camera-{worker.camid}", worker.run, stop_cameras) for worker in self._cameras]
        writer = WorkerThread("spool-writer", self._writer.run, threading.Event())
        uplink = WorkerThread("uplink", self._uplink.run, threading.Event())
        threads = [*cameras, writer, uplink]
        try:
            while not (stop.is_set() or self._is_through(cameras) or any(thread.failure for thread in threads)):
                stop.wait(_POLL_S)
        finally:
            stop_cameras.set()
            _join(cameras)
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
        """Close the spool; safe to call twice."""
        self._outbox.close()
        self._spool.close()

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
            stage_ms=mean_ms(worker.pipeline.times for worker in self._cameras),
            duration_s=round(time.monotonic() - self._started_s, 3),
        )

    def collector(self) -> EdgeCollector:
        """Makes its metrics; may be called from any thread, until the agent is closed."""
        return EdgeCollector(
            report=self.report,
            stages=lambda: merged_stages(worker.pipeline.times for worker in self._cameras),
            oldest_us=self._spool.oldest_us,
        )

    def _report_camera(self, worker: CameraWorker) -> CameraReport:
        counts = worker.capture.counts
        return CameraReport(
            frames=counts.frames,
            dropped=counts.dropped,
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
