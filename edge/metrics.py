"""What Prometheus reads of an edge. Built when the page is asked for, from the agent's report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from edge.batching import BatchCounts
from edge.crop_answers import CropExchangeState
from edge.errors import SpoolError
from edge.fleet import FleetState
from edge.releases.directives import AnswerState
from edge.releases.refresh import Phase, RefreshStatus
from edge.report import AgentReport, CameraReport, FleetReport, KeptCrops
from edge.thermal import THERMAL, temperatures, throttling
from edge.uplink import UplinkState
from reid.durations import Durations
from reid.exposition import ExpositionSettings, Families

DEFAULT_LISTEN = "127.0.0.1:9465"
_FAMILIES = Families("osprey_edge")


class MetricsSettings(ExpositionSettings):
    """Where Prometheus and `osprey-edge status` read the edge's metrics."""

    listen: str = DEFAULT_LISTEN
    """IP:PORT of the page http://IP:PORT/metrics, without log-in; port 0 takes a free one, empty turns it off."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeCollector(Collector):
    """Makes the metric families of one agent; called by the thread of the page.

    Attributes:
        report: What the agent has done so far.
        stages: How long each stage of the pipelines took.
        oldest_us: Time of the oldest observation in the spool, or None; may raise SpoolError.
        thermal: Folder with the machine's thermal zones and cooling devices.
    """

    report: Callable[[], AgentReport]
    stages: Callable[[], Mapping[str, Durations]]
    oldest_us: Callable[[], int | None]
    thermal: Path = THERMAL

    def collect(self) -> Iterator[Metric]:
        """All families."""
        report = self.report()
        labels = ("edge_id", "release", "backend", "precision")
        yield _FAMILIES.info("info", "What runs.", {label: getattr(report, label) for label in labels})
        yield from _cameras(report.cameras)
        yield _FAMILIES.histogram("stage_seconds", "One run of a stage.", self.stages(), ["stage"])
        yield from _batches(report.batches)
        yield from _refresh(report.refresh)
        yield from _observations(report)
        yield from self._queues(report)
        yield from _uplink(report)
        yield from _crops(report.crops)
        yield from _fleet(report.fleet)
        text = "Mean cosine of neighbouring views of one track by the release that runs."
        yield _FAMILIES.gauge("coherence_ratio", text, {"": report.coherence} if report.coherence else {})
        yield _FAMILIES.gauge("temperature_celsius", "Thermal zones.", temperatures(self.thermal), ["zone"])
        text = "How far a part is slowed down to cool it: 0 not at all, 1 as far as it goes."
        yield _FAMILIES.gauge("throttling_ratio", text, throttling(self.thermal), ["device"])
        yield _FAMILIES.counter("uptime_seconds", "Since the agent started.", {"": report.duration_s})

    def _queues(self, report: AgentReport) -> Iterator[Metric]:
        waiting = {camid: camera.waiting for camid, camera in report.cameras.items()}
        yield _FAMILIES.gauge("inbox_depth", "Frames that were read and wait.", waiting, ["camid"])
        yield _FAMILIES.gauge("embed_queue_depth", "Frames whose crops wait.", {"": report.embed_queued})
        yield _FAMILIES.gauge("outbox_depth", "Observations that wait to be written.", {"": report.queued})
        yield _FAMILIES.gauge("spool_depth", "Observations that wait for the server.", {"": report.remaining})
        with suppress(SpoolError):  # the disk's trouble is counted where it costs something
            oldest_us = self.oldest_us()
            values = {} if oldest_us is None else {"": oldest_us / 1e6}
            text = "When the oldest observation in the spool was captured."
            yield _FAMILIES.gauge("spool_oldest_timestamp_seconds", text, values)


def _cameras(cameras: Mapping[str, CameraReport]) -> Iterator[Metric]:
    for name, text in (
        ("frames", "Frames that the camera gave."),
        ("detections", "Persons found, over all frames."),
        ("too_small", "Persons left out because they were too small to recognise."),
        ("tracks", "Tracks seen."),
        ("switches", "Tracks split because they went over to another person."),
        ("selected", "Observations worth sending."),
        ("reconnects", "Times that a lost camera came back."),
    ):
        values = {camid: getattr(camera, name) for camid, camera in cameras.items()}
        yield _FAMILIES.counter(name, text, values, ["camid"])
    strides = {camid: camera.stride for camid, camera in cameras.items()}
    yield _FAMILIES.gauge("frame_stride", "One of so many frames is looked at.", strides, ["camid"])
    up = {camid: not camera.failure for camid, camera in cameras.items()}
    yield _FAMILIES.gauge("camera_up", "0 while the camera is lost or after it failed.", up, ["camid"])
    drops = {(camid, why): number for camid, camera in cameras.items() for why, number in _drops(camera).items()}
    text = "Frames, boxes and embeddings left out, and why; late: gave way to a newer one; skipped: by intention."
    yield _FAMILIES.counter("drops", text, drops, ["camid", "reason"])


def _drops(camera: CameraReport) -> dict[str, int]:
    """What was left out, by reason."""
    return {"late": camera.dropped, "skipped": camera.frames_skipped, **camera.faults}


def _refresh(status: RefreshStatus) -> Iterator[Metric]:
    phases = {phase.value: phase is status.phase for phase in Phase}
    yield _FAMILIES.gauge("release_phase", "1 for how far a change of the release is.", phases, ["phase"])
    yield _FAMILIES.counter("release_swaps", "Changes of the release, roll-backs included.", {"": status.num_swaps})
    text = "Longest that crops waited and no batch came out while the last release was installed."
    yield _FAMILIES.gauge("release_gap_seconds", text, {"": status.gap_ms / 1000})


def _batches(counts: BatchCounts) -> Iterator[Metric]:
    yield _FAMILIES.counter("embed_batches", "Calls of the embedder.", {"": counts.batches})
    yield _FAMILIES.counter("embed_batches_joined", "Of these, with crops of several cameras.", {"": counts.joined})
    yield _FAMILIES.counter("embed_crops", "Crops that were embedded.", {"": counts.crops})


def _observations(report: AgentReport) -> Iterator[Metric]:
    for name, text, count in (
        ("spooled", "Made durable on this machine.", report.spooled),
        ("sent", "Sent, repeats included.", report.sent),
        ("acknowledged", "Taken over by the server.", report.acknowledged),
        ("rejected", "Refused by the server for good.", report.rejected),
    ):
        yield _FAMILIES.counter(f"observations_{name}", f"Observations: {text}", {"": count})
    losses = {"not_written": report.lost, "spool_full": report.spool_dropped}
    text = "Observations lost, and why; spool_full over the life of the spool."
    yield _FAMILIES.counter("observations_lost", text, losses, ["reason"])


def _uplink(report: AgentReport) -> Iterator[Metric]:
    yield _FAMILIES.counter("sent_bytes", "All messages to the server, serialised.", {"": report.bytes_sent})
    states = {state.value: state.value == report.uplink for state in UplinkState}
    yield _FAMILIES.gauge("uplink_state", "1 for the state the uplink is in.", states, ["state"])


def _crops(crops: KeptCrops) -> Iterator[Metric]:
    yield _FAMILIES.gauge("crops_kept", "Crops on this machine that the server may ask for.", {"": crops.kept})
    yield _FAMILIES.gauge("crops_kept_bytes", "What they take of the disk.", {"": crops.kept_bytes})
    yield _FAMILIES.counter("crops_expired", "Crops that went, by age or for newer ones.", {"": crops.expired})
    yield _FAMILIES.counter("crops_lost", "Crops that could not be kept.", {"": crops.lost})
    text = "Crops that the server asked for, and what became of them."
    yield _FAMILIES.counter("crop_answers", text, crops.answers, ["outcome"])
    yield _FAMILIES.counter("crop_sent_bytes", "All answers, serialised.", {"": crops.bytes_sent})
    states = {state.value: state.value == crops.exchange for state in CropExchangeState}
    yield _FAMILIES.gauge("crop_exchange_state", "1 for the state of the crop exchange.", states, ["state"])


def _fleet(fleet: FleetReport) -> Iterator[Metric]:
    states = {state.value: state.value == fleet.state for state in FleetState}
    yield _FAMILIES.gauge("fleet_state", "1 for the state of the stream to the fleet.", states, ["state"])
    answers = {state.value: state.value == fleet.directive_state for state in AnswerState}
    yield _FAMILIES.gauge("directive_state", "1 for how the server's newest directive stands.", answers, ["state"])
    text = "Releases and their signatures that were downloaded."
    yield _FAMILIES.counter("release_downloaded_bytes", text, {"": fleet.bytes_downloaded})
