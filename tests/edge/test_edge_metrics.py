from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from fakes_server import FakeServer
from fakes_thermal import write_zone
from prometheus_client.parser import text_string_to_metric_families
from sequences import write_sequence

from edge.agent import Agent
from edge.errors import SpoolError
from edge.metrics import EdgeCollector, MetricsSettings
from edge.settings import AgentSettings
from edge.status import read_page, watch
from reid.exposition import exposed

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "osprey.json"


@pytest.fixture
def server():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def agent(tmp_path, tiny_release, server):
    """An agent that has read 30 frames of two persons; everything is acknowledged."""
    values = {
        "edge_id": "edge1",
        "cameras": {"cam1": str(write_sequence(tmp_path / "walk"))},
        "server": server.address,
        "release": tiny_release.folder,
        "detector": "truth",
        "spool": {"path": tmp_path / "edge.spool"},
        "once": True,
        "drain_timeout_s": 20,
        "num_threads": 1,
    }
    agent = Agent(AgentSettings.model_validate(values))
    agent.run(threading.Event())
    yield agent
    agent.close()


@pytest.fixture
def url(agent):
    with exposed(agent.collector(), MetricsSettings(listen="127.0.0.1:0")) as url:
        yield url


def test_page_says_what_the_report_says(agent, url):
    report, page = agent.report(), read_page(url)
    assert page.by("camid", "frames_total") == {"cam1": 30}
    assert page.value("observations_acknowledged_total") == report.acknowledged > 4
    assert page.value("sent_bytes_total") == report.bytes_sent
    stages = page.by("stage", "stage_seconds_count")
    assert (stages["detect"], stages["frame_age"], stages["inbox_wait"]) == (30, 30, 30)
    assert stages["embed_wait"] == stages["embed"] == page.value("embed_batches_total") > 20
    assert stages["capture_to_spool"] == report.spooled
    assert page.by("camid", "frame_stride") == {"cam1": 1}
    assert page.by("state", "uplink_state")["closed"] == 1
    assert page.by("phase", "release_phase") == {"idle": 1, "preparing": 0, "preparing_alone": 0, "probation": 0}


def test_dashboard_asks_only_for_what_is_served(url, agent, tmp_path):
    write_zone(tmp_path / "thermal", 0, "cpu", "1000")
    whole = EdgeCollector(
        report=agent.report, stages=agent.collector().stages, oldest_us=lambda: 1, thermal=tmp_path / "thermal"
    )
    with exposed(whole, MetricsSettings(listen="127.0.0.1:0")) as page:
        families = text_string_to_metric_families(urlopen(page, timeout=5).read().decode())
        served = {sample.name for family in families for sample in family.samples}
    asked = set(re.findall(r"osprey_edge_\w+", json.dumps(json.loads(DASHBOARD.read_text())["panels"])))
    assert len(asked) > 10
    assert asked <= served


def test_a_spool_that_cannot_be_read_costs_its_age_only(agent):
    def fail():
        raise SpoolError("disk gone")

    collector = EdgeCollector(report=agent.report, stages=dict, oldest_us=fail)
    names = {family.name for family in collector.collect()}
    assert "osprey_edge_spool_depth" in names
    assert "osprey_edge_spool_oldest_timestamp_seconds" not in names


def test_status_of_a_real_agent(agent, url):
    status = watch(url, interval_s=0.1)
    assert (status.edge_id, status.backend, status.uplink) == ("edge1", "onnxruntime", "closed")
    assert status.cameras["cam1"].frames == 30
    assert status.acknowledged == agent.report().acknowledged
    assert (status.spool_depth, status.spool_age_s) == (0, None)
