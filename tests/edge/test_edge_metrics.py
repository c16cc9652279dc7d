from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from fakes_server import FakeServer
from prometheus_client.parser import text_string_to_metric_families
from sequences import write_sequence

from edge.agent import Agent
from edge.errors import SpoolError
from edge.metrics import EdgeCollector, MetricsSettings, temperatures
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


def make_zone(thermal: Path, number: int, kind: str, temp: str) -> None:
    zone = thermal / f"thermal_zone{number}"
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text(temp)


def test_page_says_what_the_report_says(agent, url):
    report, page = agent.report(), read_page(url)
    assert page.by("camid", "frames_total") == {"cam1": 30}
    assert page.value("observations_acknowledged_total") == report.acknowledged > 4
    assert page.value("sent_bytes_total") == report.bytes_sent
    assert page.by("stage", "stage_seconds_count")["detect"] == 30
    assert page.by("state", "uplink_state")["closed"] == 1


def test_dashboard_asks_only_for_what_is_served(url, agent, tmp_path):
    make_zone(tmp_path / "thermal", 0, "cpu", "1000")
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


def test_temperatures_are_read_where_they_can_be(tmp_path):
    make_zone(tmp_path, 0, "cpu-thermal", "48500\n")
    make_zone(tmp_path, 1, "gpu-thermal", "off")
    assert temperatures(tmp_path) == {"zone0 cpu-thermal": 48.5}


def test_no_thermal_zones_are_no_error(tmp_path):
    assert temperatures(tmp_path / "none") == {}


def test_status_of_a_real_agent(agent, url):
    status = watch(url, interval_s=0.1)
    assert (status.edge_id, status.backend, status.uplink) == ("edge1", "onnxruntime", "closed")
    assert status.cameras["cam1"].frames == 30
    assert status.acknowledged == agent.report().acknowledged
    assert (status.spool_depth, status.spool_age_s) == (0, None)
