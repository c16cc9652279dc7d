from __future__ import annotations

import dataclasses
import io

from rich.console import Console

from edge.batching import BatchCounts
from edge.progress import progress_table
from edge.report import AgentReport, CameraReport

CAMERA = CameraReport(
    frames=1234,
    dropped=5,
    frames_skipped=321,
    stride=2,
    waiting=0,
    detections=6,
    too_small=0,
    tracks=7,
    switches=0,
    selected=8,
    reconnects=0,
    faults={"box": 9},
    failure="",
)
REPORT = AgentReport(
    edge_id="edge1",
    release="tiny",
    cameras={"door": CAMERA},
    spooled=8,
    lost=0,
    spool_dropped=0,
    faults={},
    sent=8,
    acknowledged=4321,
    rejected=0,
    remaining=4,
    bytes_sent=9000,
    uplink="waiting",
    problem="no route",
    queued=0,
    backend="onnxruntime",
    precision="fp32",
    stage_ms={},
    embed_queued=0,
    batches=BatchCounts(),
    duration_s=1.0,
)


def test_live_view_names_cameras_figures_and_the_trouble():
    screen = io.StringIO()
    Console(file=screen, width=120).print(progress_table(REPORT))
    for word in ("door", "1,234", "321", "4,321 acknowledged", "4 waiting", "no route"):
        assert word in screen.getvalue()


def test_live_view_says_in_words_what_is_lost_and_why():
    camera = dataclasses.replace(CAMERA, failure="webcam:0 cannot be opened")
    report = dataclasses.replace(
        REPORT, cameras={"door": camera}, lost=3, spool_dropped=1200, rejected=1, problem="[/red] no [bold] markup"
    )
    screen = io.StringIO()
    Console(file=screen, width=120).print(progress_table(report))
    for words in ("camera door: webcam:0 cannot", "3 observations not written", "1,200 obs", "[/red] no [bold] markup"):
        assert words in screen.getvalue()


def test_report_is_plain_data():
    assert REPORT.to_json()["cameras"]["door"]["faults"] == {"box": 9}
