from __future__ import annotations

import json

import pytest
from fakes_thermal import write_device
from prometheus_client.registry import Collector
from rich.console import Console

from edge.batching import BatchCounts
from edge.cli import main
from edge.errors import StatusError
from edge.metrics import EdgeCollector, MetricsSettings
from edge.releases.refresh import Phase, RefreshStatus
from edge.report import AgentReport, CameraReport, KeptCrops
from edge.status import Page, read_page, status_view, to_status
from reid.durations import Durations
from reid.exposition import Families, exposed

FREE_PORT = MetricsSettings(listen="127.0.0.1:0")


def make_report(*, frames: int = 100, bytes_sent: int = 5000, duration_s: float = 10.0) -> AgentReport:
    camera = CameraReport(
        frames=frames, dropped=8, frames_skipped=5, stride=2, waiting=1, detections=60, too_small=0, tracks=4,
        switches=0, selected=20, reconnects=1, faults={"broken_frame": 2}, failure="",
    )  # fmt: skip
    return AgentReport(
        edge_id="gate", release="tiny 1 (tiny-1-0)", cameras={"door": camera}, spooled=20, lost=1, spool_dropped=3,
        faults={}, sent=15, acknowledged=12, rejected=0, remaining=8, bytes_sent=bytes_sent, uplink="streaming",
        problem="", queued=2, backend="onnxruntime", precision="fp32", stage_ms={}, duration_s=duration_s,
        embed_queued=3, batches=BatchCounts(batches=40, joined=10, crops=100),
        crops=KeptCrops(
            kept=7, kept_bytes=60_000, expired=5, lost=1, exchange="open", answers={"sent": 4, "expired": 2},
            bytes_sent=25_000,
        ),
        refresh=RefreshStatus(phase=Phase.PROBATION, key="tiny-2", num_swaps=3, gap_ms=37.5),
    )  # fmt: skip


def make_page(report: AgentReport, tmp_path) -> Page:
    detect = Durations()
    for _ in range(10):
        detect.add(0.02)
    collector = EdgeCollector(
        report=lambda: report, stages=lambda: {"detect": detect}, oldest_us=lambda: 1_000_000_000, thermal=tmp_path
    )
    with exposed(collector, FREE_PORT) as url:
        return read_page(url)


@pytest.fixture
def status(tmp_path):
    former = make_page(make_report(), tmp_path)
    later = make_page(make_report(frames=150, bytes_sent=9000, duration_s=12.0), tmp_path)
    return to_status(later, former, now_s=1060.0)


def test_rates_are_differences_over_the_agents_own_time(status):
    assert (status.cameras["door"].frames_per_s, status.bytes_per_s) == (25.0, 2000.0)


def test_drops_and_losses_say_why(status):
    assert status.cameras["door"].drops == {"late": 8, "skipped": 5, "broken_frame": 2}
    assert status.lost == {"not_written": 1, "spool_full": 3}


def test_spool_and_queues(status):
    assert (status.queued, status.spool_depth, status.spool_age_s) == (2, 8, 60.0)
    assert (status.embed_queued, status.cameras["door"].waiting) == (3, 1)


def test_a_camera_that_leaves_out_frames_says_how_many(status):
    assert status.cameras["door"].stride == 2


def test_batches_say_how_much_is_joined(status):
    assert (status.crops_per_batch, status.joined_share) == (2.5, 0.25)


def test_a_change_of_the_release_is_seen_with_what_it_cost(status):
    assert (status.release_phase, status.release_swaps, status.release_gap_ms) == ("probation", 3, 37.5)


def test_kept_crops_and_what_the_server_asked_for_are_seen(status):
    assert (status.crops_kept, status.crops_kept_bytes, status.crops_expired, status.crops_lost) == (7, 60_000, 5, 1)
    assert (status.crop_answers, status.crop_bytes_sent) == ({"sent": 4, "expired": 2}, 25_000)


def test_a_machine_that_slows_itself_down_is_seen(tmp_path):
    write_device(tmp_path, 0, "thermal-cpufreq-0", state="2", most="8")
    page = make_page(make_report(), tmp_path)
    assert to_status(page, page, now_s=0.0).throttling == {"thermal-cpufreq-0": 0.25}


def test_stage_latencies_are_estimated_from_buckets(status):
    median_ms, late_ms = status.stages_ms["detect"]
    assert 10 < median_ms < late_ms <= 25


def test_an_agent_that_was_started_again_has_no_negative_rate(tmp_path):
    before = make_page(make_report(frames=900, duration_s=90.0), tmp_path)
    after = make_page(make_report(frames=5, duration_s=1.0), tmp_path)
    assert to_status(after, before, now_s=0.0).cameras["door"].frames_per_s == 0.0


def test_view_names_what_an_operator_looks_for(status):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(status_view(status))
    drops = "8 late, 5 skipped, 2 broken_frame"
    rest = ("2.5 crops a batch", "detect", "temperature", "slowed down: not readable")
    for words in ("gate", "uplink streaming", "8 waiting", drops, *rest):
        assert words in captured.get()


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_command_prints_json(capsys, tmp_path):
    collector = EdgeCollector(report=make_report, stages=dict, oldest_us=lambda: None, thermal=tmp_path)
    with exposed(collector, FREE_PORT) as url:
        code, out, _ = run(capsys, "status", "--url", url, "--interval", "0.1", "--json")
    assert (code, json.loads(out)["edge_id"]) == (0, "gate")


class Stranger(Collector):
    def collect(self):
        yield Families("other").gauge("things", "Text.", {"": 1})


def test_page_of_something_else_is_refused():
    with exposed(Stranger(), FREE_PORT) as url, pytest.raises(StatusError, match="no agent's metrics page"):
        read_page(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "file:///etc/passwd", "gate:9465"])
def test_nobody_there_is_one_clear_line(capsys, url):
    code, _, err = run(capsys, "status", "--url", url)
    assert code == 2
    assert url in err
    assert "Traceback" not in err
