"""What an agent has done so far, as plain data: for `--json`, for the live view, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge.batching import BatchCounts
from edge.releases.refresh import RefreshStatus


@dataclass(frozen=True)
class CameraReport:
    """One camera.

    Attributes:
        frames: Frames that the source gave.
        dropped: Of these, replaced because a newer one was there.
        frames_skipped: Of these, left out by intention because the camera was late, see `edge.pace`.
        stride: One of so many frames is looked at.
        waiting: Frames that were read and wait at the moment.
        detections: Persons found, over all frames.
        too_small: Persons left out because they were too small to recognise.
        tracks: Tracks seen.
        switches: Of these, split because they went over to another person.
        selected: Observations worth sending.
        reconnects: Times the source was opened again after a break.
        faults: Frames, boxes and embeddings lost, by kind.
        failure: Why the source ended early, or why it is lost at the moment; empty while all is well.
    """

    frames: int
    dropped: int
    frames_skipped: int
    stride: int
    waiting: int
    detections: int
    too_small: int
    tracks: int
    switches: int
    selected: int
    reconnects: int
    faults: Mapping[str, int]
    failure: str


@dataclass(frozen=True)
class KeptCrops:
    """Crops that are kept for the server, and what it asked for; counts are of this run.

    Attributes:
        kept: Crops that are there now.
        kept_bytes: What they take of the disk.
        expired: Crops that went, by age or for newer ones.
        lost: Crops that could not be kept.
        faults: What went wrong with them, by kind.
        exchange: State of the stream on which the server asks; `off` where none are kept.
        problem: Why it does not work; empty while it does.
        answers: Crops that were asked for, by what became of them: sent, expired, unknown, over_budget, forgotten.
        bytes_sent: All answers, serialised.
    """

    kept: int = 0
    kept_bytes: int = 0
    expired: int = 0
    lost: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    exchange: str = "off"
    problem: str = ""
    answers: Mapping[str, int] = field(default_factory=dict)
    bytes_sent: int = 0


@dataclass(frozen=True)
class FleetReport:
    """How this edge stands with the server's fleet; counts are of this run.

    Attributes:
        state: Of the stream, see `edge.fleet`; `off` where it is switched off.
        problem: Why the last stream ended; empty again when one has lasted.
        directive: Name of the newest directive; empty while there was none.
        directive_state: How it stands, see `edge.releases.directives`.
        directive_message: Why it was refused, or what it waits for.
        statuses: Sent.
        bytes_downloaded: Releases and their signatures.
    """

    state: str = "off"
    problem: str = ""
    directive: str = ""
    directive_state: str = "none"
    directive_message: str = ""
    statuses: int = 0
    bytes_downloaded: int = 0


@dataclass(frozen=True)
class AgentReport:
    """The whole agent. Observations only; counts are of this run unless said otherwise.

    Attributes:
        edge_id: The edge.
        release: Name, version and space of the release that runs.
        cameras: By camid.
        spooled: Made durable on this machine.
        lost: Selected, but not made durable: the disk was full, broken or too slow.
        spool_dropped: Dropped from the spool by its bound, in the life of the spool.
        faults: Observations and crops that could not be written, by kind.
        sent: Sent, repeats included.
        acknowledged: Taken over by the server: durable there, see `edge.uplink.UplinkStatus`.
        rejected: Refused by the server for good.
        remaining: Still in the spool.
        bytes_sent: All messages to the server, serialised.
        uplink: State of the uplink.
        problem: Why the uplink does not work; empty while it does.
        queued: Selected, and waiting in memory to be written to the spool.
        backend: What runs the network, one word.
        precision: Its arithmetic.
        stage_ms: Mean milliseconds of each stage.
        embed_queued: Frames whose crops wait to be embedded.
        batches: How many were embedded, and how many of them joined.
        duration_s: Since the agent started.
        refresh: How it stands with a change of the release.
        coherence: Mean cosine of neighbouring views of one track by the release that runs; 0 while none was seen.
        fleet: How it stands with the server's fleet.
        crops: Crops that are kept for the server.
    """

    edge_id: str
    release: str
    cameras: Mapping[str, CameraReport]
    spooled: int
    lost: int
    spool_dropped: int
    faults: Mapping[str, int]
    sent: int
    acknowledged: int
    rejected: int
    remaining: int
    bytes_sent: int
    uplink: str
    problem: str
    queued: int
    backend: str
    precision: str
    stage_ms: Mapping[str, float]
    embed_queued: int
    batches: BatchCounts
    duration_s: float
    refresh: RefreshStatus = field(default_factory=RefreshStatus)
    coherence: float = 0.0
    fleet: FleetReport = field(default_factory=FleetReport)
    crops: KeptCrops = field(default_factory=KeptCrops)

    def to_json(self) -> dict[str, Any]:
        """As nested dicts of plain values, ready for JSON."""
        return asdict(self)
