"""From a frame to the acknowledgement of what was seen in it: real cameras' streams, a real agent, a real server.

The cameras send a recording over HTTP at its frame rate; `osprey-edge run` reads, tracks, embeds, spools and sends;
`osprey-server run` stores, matches and acknowledges; a relay between them notes the acknowledgements. The agent sends a
view of every person of every frame, which is many times more than it would by itself, and each goes out when the next
one of the same person is there. Two times are taken of every observation:

- *frame*: from the moment at which the frame that let it go left its camera. This is what the machines take.
- *view*: from the moment at which its own frame left the camera. This adds the time between the two.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from benchmarks.instruments.latency.cameras import CameraServer
from benchmarks.instruments.latency.relay import Acknowledged, Relay
from benchmarks.instruments.latency.scene import Recording
from benchmarks.instruments.latency.spread import spread_of
from benchmarks.instruments.server_process import osprey_server

_PATIENCE_S = 90.0
_LONGEST_S = 150.0
_MOST_BEHIND = 3
"""Frames that may be under way when an agent is stopped."""

_CONFIG = """\
edge_id = "{edge_id}"
server = "{server}"
release = "{release}"
backend = "{backend}"
detector = "{boxes}"
[cameras]
{cameras}
[keyframes]
min_views = 1
min_quality = 0.0
min_interval_s = 0.0
max_interval_s = 0.001
[spool]
path = "{folder}/edge.spool"
[metrics]
listen = ""
"""


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """What is measured.

    Attributes:
        release: Folder of the release; something is written beside it.
        backend: What the agent runs it with.
        recording: What the cameras show.
        numbers: Of cameras.
        warm_up_s: Not counted, from the first acknowledgement on.
        seconds: Counted.
    """

    release: Path
    backend: str
    recording: Recording
    numbers: Sequence[int]
    warm_up_s: float
    seconds: float


def measure_streams(plan: StreamPlan, folder: Path) -> dict[str, dict[str, Any]]:
    """Measure each number of cameras with one server.

    Args:
        plan: What.
        folder: For the server's records and the agents' spools.

    Returns:
        By number of cameras, as text: spreads `frame` and `view`, what the agent reported, and how it kept up.

    Raises:
        RuntimeError: The server or an agent did not start, or nothing was acknowledged.
    """
    boxes = folder / "boxes.txt"
    plan.recording.write_boxes(boxes, num_frames=round(_LONGEST_S * plan.recording.rate_hz))
    with ExitStack() as stack:
        server = osprey_server(folder / "data", more=("--release", str(plan.release)))
        server.start()
        stack.callback(server.kill)
        relay = stack.enter_context(Relay(server.address))
        return {str(number): _measure(number, plan, relay, boxes, folder / f"edge{number}") for number in plan.numbers}


def _measure(number: int, plan: StreamPlan, relay: Relay, boxes: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    before = len(relay.acknowledged)
    with CameraServer(plan.recording, number) as cameras:
        config = _CONFIG.format(
            edge_id=f"latency{number}",
            server=relay.address,
            release=plan.release,
            backend=plan.backend,
            boxes=boxes,
            cameras="\n".join(f'{camid} = "{cameras.url(camid)}"' for camid in cameras.camids),
            folder=folder,
        )
        (folder / "edge.toml").write_text(config, encoding="utf-8")
        agent = _Agent(folder)
        try:
            agent.wait_for(lambda: len(relay.acknowledged) > before)
            time.sleep(plan.warm_up_s)
            from_us = time.time_ns() // 1000
            time.sleep(plan.seconds)
            report = agent.stop()
        finally:
            agent.kill()
        sent_us = {camid: cameras.sent_us(camid) for camid in cameras.camids}
    return summary(relay.acknowledged[before:], sent_us, report, from_us=from_us, seconds=plan.seconds)


def summary(
    acknowledged: Iterable[Acknowledged],
    sent_us: Mapping[str, Sequence[int]],
    report: Mapping[str, Any],
    *,
    from_us: int,
    seconds: float,
) -> dict[str, Any]:
    """What a run came to.

    Args:
        acknowledged: Observations, with their times.
        sent_us: When the frames of each camera left it.
        report: Of the agent.
        from_us: Frames that left before do not count.
        seconds: How long it was measured.

    Raises:
        ValueError: Nothing of what counts was acknowledged.
    """
    waits = waits_ms(acknowledged, sent_us, from_us=from_us, until_us=from_us + seconds * 1e6)
    cameras = report["cameras"].values()
    num_sent = sum(map(len, sent_us.values()))
    return {
        "frame": spread_of([frame_ms for frame_ms, _ in waits]).to_json(),
        "view": spread_of([view_ms for _, view_ms in waits]).to_json(),
        "observations_per_s": round(len(waits) / seconds, 1),
        "frames_sent": num_sent,
        "frames_read": sum(camera["frames"] for camera in cameras),
        "frames_dropped": sum(camera["dropped"] for camera in cameras),
        "frames_skipped": sum(camera.get("skipped", 0) for camera in cameras),
        "kept_up": all(
            len(sent_us[camid]) - camera["frames"] <= _MOST_BEHIND for camid, camera in report["cameras"].items()
        ),
        "backend": f"{report['backend']} {report['precision']}",
        "stage_ms": report["stage_ms"],
        "memory_mib": report.get("memory_mib", 0.0),
    }


def waits_ms(
    acknowledged: Iterable[Acknowledged], sent_us: Mapping[str, Sequence[int]], *, from_us: int, until_us: float
) -> list[tuple[float, float]]:
    """Times of observations from two frames: the one that let it go, and its own.

    A view goes out when the next one of its tracklet is there: that one's frame let it go. Each frame is looked for
    among those that its camera had sent when the agent stamped it. The last view of a tracklet is left out.

    Args:
        acknowledged: Observations.
        sent_us: When the frames of each camera left it, rising.
        from_us: Observations that frames from here on let go …
        until_us: … and before this moment.
    """
    tracklets: defaultdict[tuple[str, int], list[Acknowledged]] = defaultdict(list)
    for one in acknowledged:
        tracklets[one.camid, one.tracklet_id].append(one)
    waits: list[tuple[float, float]] = []
    for (camid, _), views in tracklets.items():
        views.sort(key=lambda view: view.time_us)
        left_us = [_left_us(sent_us[camid], view.time_us) for view in views]
        for view, own_us, next_us in zip(views, left_us, left_us[1:], strict=False):
            if from_us <= next_us < until_us:
                waits.append(((view.acked_us - next_us) / 1e3, (view.acked_us - own_us) / 1e3))
    return waits


def _left_us(sent_us: Sequence[int], stamped_us: int) -> int:
    """When the frame left its camera that was stamped at a moment: the latest before that."""
    return sent_us[max(0, bisect_right(sent_us, stamped_us) - 1)]


class _Agent:
    """`osprey-edge run` on a config in a folder."""

    def __init__(self, folder: Path) -> None:
        self._log, self._out = folder / "edge.log", folder / "edge.out"
        words = [sys.executable, "-m", "edge", "run", "--config", str(folder / "edge.toml"), "--json"]
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=log)
        self._memory_mib = 0.0

    def wait_for(self, is_done: Any) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while not is_done():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"the agent sent nothing; the end of its log: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> dict[str, Any]:
        """End it as an operator would; returns its report, with its greatest resident memory."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        peak_kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_PATIENCE_S)
        report: dict[str, Any] = json.loads(self._out.read_text().splitlines()[-1])
        return {**report, "memory_mib": round(peak_kib / 1024, 1)}

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
