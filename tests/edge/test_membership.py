from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
from fakes_fleet_service import FakeFleet
from releases import write_tiny_release
from sequences import write_sequence
from signed_site import SignedSite
from structlog.testing import capture_logs

from edge.agent import Agent
from edge.bundle import Bundle
from edge.membership import read_root
from edge.settings import AgentSettings
from protos import common_pb2, fleet_pb2
from reid.credentials import Credentials, write_credentials


@pytest.fixture
def releases(tmp_path):
    return [write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number)) for number in (1, 2)]


@pytest.fixture
def site(releases):
    site = SignedSite()
    site.publish(releases[1])
    return site


@pytest.fixture
def server(site):
    server = FakeFleet(site.files)
    yield server
    server.stop()


@pytest.fixture
def settings(tmp_path, releases, site, server):
    (tmp_path / "root.json").write_text(site.first_root)
    values = {
        "edge_id": "edge1",
        "cameras": {"cam1": str(write_sequence(tmp_path / "walk"))},
        "server": server.address,
        "release": releases[0].folder,
        "detector": "truth",
        "spool": {"path": tmp_path / "edge.spool"},
        "num_threads": 1,
        "releases": {"probation_s": 0.2},
        "fleet": {"root": tmp_path / "root.json", "status_s": 0.2},
    }
    return AgentSettings.model_validate(values)


@contextmanager
def running(settings):
    agent, stop = Agent(settings), threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        yield agent
    finally:
        stop.set()
        thread.join(20)
        agent.close()
        assert not thread.is_alive()


def ref(release):
    return common_pb2.ReleaseRef(name=release.ref.name, version=release.ref.version, space=release.ref.space)


def install(release, name="d1"):
    return fleet_pb2.AttendResponse(directive_id=name, install_release=fleet_pb2.InstallRelease(release=ref(release)))


def answer(server, state, most_s=20.0):
    """The first status with that state."""
    end_s = time.monotonic() + most_s
    while time.monotonic() < end_s:
        for status in list(server.statuses):
            if status.directive_state == state:
                return status
        time.sleep(0.02)
    raise AssertionError(server.statuses[-1:])


def test_an_agent_attends_installs_what_is_signed_and_goes_back_when_told(server, settings, releases):
    with running(settings) as agent:
        server.direct(install(releases[1]))
        done = answer(server, fleet_pb2.DIRECTIVE_STATE_DONE)
        assert (done.edge_id, done.directive_id, done.release.space) == ("edge1", "d1", releases[1].ref.space)
        assert (agent.report().fleet.state, agent.report().release) == ("attending", str(releases[1].ref))
        server.statuses.clear()
        server.direct(
            fleet_pb2.AttendResponse(directive_id="d2", roll_back=fleet_pb2.RollBack(release=ref(releases[0])))
        )
        done = answer(server, fleet_pb2.DIRECTIVE_STATE_DONE)
        assert (done.directive_id, done.release.space) == ("d2", releases[0].ref.space)


def test_after_a_start_the_first_status_tells_the_last_answer(server, settings, releases):
    server.direct(install(releases[1]))
    with running(settings):
        answer(server, fleet_pb2.DIRECTIVE_STATE_DONE)
    server.statuses.clear()
    server.directives.clear()
    with running(settings):
        first = answer(server, fleet_pb2.DIRECTIVE_STATE_DONE)
    assert (first.directive_id, first.release.space) == ("d1", releases[1].ref.space)


def test_what_is_not_signed_leaves_the_old_release_running(server, site, settings, releases):
    stranger = SignedSite()
    stranger.publish(releases[1])
    server.files = stranger.files
    with running(settings) as agent:
        server.direct(install(releases[1]))
        refused = answer(server, fleet_pb2.DIRECTIVE_STATE_REFUSED)
        assert "not signed by the keys of this site" in refused.message
        assert (refused.release.space, agent.report().fleet.directive_state) == (releases[0].ref.space, "refused")


def test_without_a_root_an_edge_says_so_once_and_still_attends(server, settings, releases):
    untrusting = settings.model_copy(update={"fleet": settings.fleet.model_copy(update={"root": None})})
    with capture_logs() as logs, running(untrusting):
        server.direct(install(releases[1]))
        refused = answer(server, fleet_pb2.DIRECTIVE_STATE_REFUSED)
    assert "takes no updates by the server" in refused.message
    assert sum("takes no updates" in line["event"] for line in logs) == 1
    assert server.asked == []


def test_a_root_that_cannot_be_read_is_said(server, settings, releases, tmp_path):
    lost = settings.model_copy(update={"fleet": settings.fleet.model_copy(update={"root": tmp_path / "none.json"})})
    with capture_logs() as logs, running(lost):
        server.direct(install(releases[1]))
        refused = answer(server, fleet_pb2.DIRECTIVE_STATE_REFUSED)
    assert "none.json cannot be read" in refused.message
    assert any("none.json cannot be read" in line["event"] for line in logs)


@pytest.mark.parametrize("in_bundle", [True, False], ids=["its own", "an older bundle"])
def test_the_root_of_the_bundle_counts_before_that_of_a_file(tmp_path, settings, in_bundle):
    values = {"kind": "edge", "name": "edge1", "server": settings.server, "ends_at_s": int(time.time()) + 3600}
    root = "root of the bundle" if in_bundle else ""
    pems = {"ca_pem": "a", "certificate_pem": "b", "key_pem": "c"}
    write_credentials(tmp_path / "bundle", Credentials(**values, **pems, camids=("cam1",), release_root=root))
    bundle = Bundle(tmp_path / "bundle", "edge1", ["cam1"])
    assert read_root(settings, bundle) == (root or settings.fleet.root.read_text())


def test_switched_off_an_edge_does_not_attend(server, settings):
    off = settings.model_copy(update={"fleet": settings.fleet.model_copy(update={"enabled": False})})
    with running(off) as agent:
        time.sleep(0.5)
        assert agent.report().fleet.state == "off"
    assert server.statuses == []


def test_a_stop_in_mid_download_is_quick_and_the_next_start_goes_on(server, settings, releases):
    server.chunk_bytes, server.pause_s = 500, 0.2
    with running(settings):
        server.direct(install(releases[1]))
        while len(server.targets_asked) < 2:
            time.sleep(0.02)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 10
    server.pause_s = 0.0
    with running(settings):
        assert answer(server, fleet_pb2.DIRECTIVE_STATE_DONE).release.space == releases[1].ref.space
