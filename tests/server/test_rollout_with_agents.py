"""A whole server and real agents: a release is rolled out, and taken back, over the wire and with its signatures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fakes_running import running_server
from releases import write_child_release

from edge.agent import Agent
from edge.settings import AgentSettings
from reid.release import Release
from server.release_client import ReleaseClient
from server.releases.rollout import RolloutSettings

QUICK = RolloutSettings(soak_s=0.5, baseline_s=0.2, tick_s=0.05)


@contextmanager
def running_agent(name: str, folder: Path, address: str, release: Release) -> Iterator[Agent]:
    settings = AgentSettings.model_validate(
        {
            "edge_id": name,
            "cameras": {"c1": "sim:?seed=1&people=4&cameras=1&camera=c1&duration_s=600"},
            "server": address,
            "release": release.folder,
            "detector": "truth",
            "spool": {"path": folder / f"{name}.spool"},
            "num_threads": 1,
            "releases": {"probation_s": 0.5, "probation_batches": 20},
            "fleet": {"root": folder / "data" / "repository" / "metadata" / "1.root.json", "status_s": 0.2},
        }
    )
    agent, stop = Agent(settings), threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        yield agent
    finally:
        stop.set()
        thread.join(30)
        agent.close()
        assert not thread.is_alive()


@pytest.fixture
def site(tmp_path: Path, tiny_release: Release) -> Iterator[tuple[ReleaseClient, list[Agent]]]:
    with ExitStack() as opened:
        address = opened.enter_context(running_server(tmp_path / "data", tiny_release, rollout=QUICK))
        agents = [opened.enter_context(running_agent(f"e{n}", tmp_path, address, tiny_release)) for n in (1, 2)]
        yield opened.enter_context(ReleaseClient(address)), agents


def until(is_so: Callable[[], bool], most_s: float = 60.0) -> None:
    end_s = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.slow
def test_a_release_reaches_all_agents_ring_by_ring(
    site: tuple[ReleaseClient, list[Agent]], tmp_path: Path, tiny_release: Release
) -> None:
    client, agents = site
    candidate = write_child_release(tiny_release, tmp_path / "candidate")
    client.import_release(candidate, force=True)
    client.start_rollout(candidate.ref.space, force=False)
    until(lambda: client.get_rollout().state != "running")
    assert (client.get_rollout().state, client.get_rollout().reason) == ("done", "")
    assert {agent.engine.release for agent in agents} == {candidate.ref}
    assert [agent.report().fleet.directive_state for agent in agents] == ["done", "done"]
    assert sum(camera.dropped for agent in agents for camera in agent.report().cameras.values()) == 0


@pytest.mark.slow
def test_an_abort_brings_all_agents_back(
    site: tuple[ReleaseClient, list[Agent]], tmp_path: Path, tiny_release: Release
) -> None:
    client, agents = site
    candidate = write_child_release(tiny_release, tmp_path / "candidate")
    client.import_release(candidate, force=True)
    client.start_rollout(candidate.ref.space, force=False)
    until(lambda: any(agent.engine.release == candidate.ref for agent in agents))
    client.abort_rollout("seen enough")
    until(lambda: client.get_rollout().state == "aborted")
    assert {agent.engine.release for agent in agents} == {tiny_release.ref}
