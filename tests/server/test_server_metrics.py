from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, observation
from prometheus_client.parser import text_string_to_metric_families
from test_loop_metrics import METRICS, samples

from protos import ingest_pb2
from reid.release import Release
from server.metrics import MetricsSettings

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "osprey.json"
OF_EDGE = (("edge_id", "edge1"),)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Samples:
    families = text_string_to_metric_families(urlopen(url, timeout=5).read().decode())
    return {
        (sample.name.removeprefix("osprey_server_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def seen(tmp_path: Path, tiny_release: Release) -> Iterator[Samples]:
    """The page of a server to which an edge sent 4 observations of 2 persons, then the first 2 of them again."""
    listen = f"127.0.0.1:{free_port()}"
    metrics = MetricsSettings(listen=listen)
    with running_server(tmp_path / "data", tiny_release, metrics=metrics) as address, TalkingEdge(address) as edge:
        edge.welcome()
        message = batch_message(1, *(observation(i % 2, tracklet_id=1 + i % 2, time_s=i) for i in range(4)))
        message.spool_report.CopyFrom(ingest_pb2.SpoolReport(depth=7, dropped=3))
        edge.send(message)
        edge.acknowledgement()
        with TalkingEdge(address) as again:
            again.welcome()
            again.send(batch_message(1, *(observation(0, time_s=i) for i in range(2))))
            again.acknowledgement()
            yield scrape(f"http://{listen}/metrics")


def test_observations_are_counted_by_edge(seen: Samples) -> None:
    names = ("received", "acknowledged", "stored", "duplicate", "rejected")
    counts = [seen[f"observations_{name}_total", OF_EDGE] for name in names]
    assert counts == [6, 6, 4, 2, 0]


def test_an_edge_says_how_its_spool_is(seen: Samples) -> None:
    assert (seen["edge_connected", OF_EDGE], seen["edge_last_seen_timestamp_seconds", OF_EDGE] > 1e9) == (1, True)
    assert (seen["edge_spool_depth", OF_EDGE], seen["edge_spool_dropped_total", OF_EDGE]) == (7, 3)


def test_identities_and_latencies_are_counted(seen: Samples) -> None:
    assert (seen["tracklets_total", ()], seen["step_seconds_count", ()], seen["commit_seconds_count", ()]) == (2, 2, 2)
    assert seen["acknowledgement_seconds_count", ()] == 2
    assert seen["writer_failing", ()] == 0


def test_no_label_grows_with_cameras_or_persons(seen: Samples) -> None:
    labels = {label for _, pairs in seen for label, _ in pairs}
    assert labels <= {"edge_id", "le", "name", "version", "space", "state", "verdict"}


def test_the_dashboard_asks_only_for_what_is_served(seen: Samples) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = set(re.findall(r"osprey_server_(\w+)", json.dumps(panels)))
    served = {name for name, _ in seen} | {name.split()[0] for name in samples(METRICS)}
    assert len(asked) > 20
    assert asked <= served
