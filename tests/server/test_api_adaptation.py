from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, observation
from typer.testing import CliRunner

from reid.release import Release
from server.adaptation.run import AdaptationRun
from server.adaptation.view import RunView
from server.adaptation_client import AdaptationClient
from server.api.adaptation_messages import run_from_proto, run_to_proto
from server.cli import app
from server.errors import NotFoundError, RefusedError
from server.gate.verdict import Check, Verdict

VERDICT = Verdict(
    is_accepted=False,
    checks=(
        Check(name="retrieval", value=0.25, bound=0.5, is_passed=False, reason="tracklet mAP 0.25, wanted 0.5"),
        Check(name="latency", value=None, bound=1.25, is_passed=True, reason="was not measured"),
    ),
)
RUN = AdaptationRun(
    run_key=3,
    state="refused",
    trigger="drift",
    actor="adaptation",
    started_us=5,
    changed_us=6,
    message="no better",
    parent="a-1",
    space="a-2",
    num_crops_wanted=10,
    num_crops_received=8,
    num_crops_expired=2,
    crop_bytes=9000,
    rollout_key=4,
)


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    with running_server(tmp_path / "data", tiny_release) as address:
        yield address


def wait_for(client: AdaptationClient, is_so: Callable[[RunView], bool]) -> RunView:
    until_s = time.monotonic() + 20
    while not is_so(view := client.get(0)):
        assert time.monotonic() < until_s, view
        time.sleep(0.05)
    return view


def ask(address: str, *words: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["adapt", *words, "--server", address])
    return answer.exit_code, answer.stdout.rstrip("\n")


def test_a_run_survives_the_wire() -> None:
    view = RunView(run=RUN, progress=0.5, epochs=((1, {"loss": 2.5}), (2, {"loss": 1.5})), verdict=VERDICT)
    assert run_from_proto(run_to_proto(view)) == view


def test_a_run_without_crops_fails_and_says_why(address: str) -> None:
    with AdaptationClient(address) as client:
        assert client.start().run.run_key == 1
        view = wait_for(client, lambda view: view.run.state == "failed")
        assert "0 of 0 crops came, adaptation.least_crops wants" in view.run.message
        assert [each.run.run_key for each in client.iter_runs()] == [1]


def test_a_run_waits_for_edges_and_is_stopped_and_resumed(address: str) -> None:
    with TalkingEdge(address) as edge, AdaptationClient(address) as client:
        edge.welcome()
        edge.send(batch_message(1, *(observation(time_s=time.time() + n / 10) for n in range(8))))
        edge.acknowledgement()
        client.start()
        wait_for(client, lambda view: view.run.num_crops_wanted > 0)
        with pytest.raises(RefusedError, match="adaptation run 1 is under way"):
            client.start()
        stopped = client.stop(0).run
        assert (stopped.state, stopped.message) == ("stopped", "stopped by local while collecting crops")
        with pytest.raises(RefusedError, match="it is stopped"):
            client.stop(1)
        assert client.resume(1).run.state == "collecting"
        client.stop(1)


def test_what_is_not_there_is_not_found(address: str) -> None:
    with AdaptationClient(address) as client, pytest.raises(NotFoundError, match="there is no adaptation run"):
        client.get(7)


def test_the_command_line_waits_for_a_runs_end(address: str) -> None:
    code, told = ask(address, "run", "--wait", "--json")
    assert (code, json.loads(told.splitlines()[-1])["state"]) == (1, "failed")
    code, told = ask(address, "list", "--json")
    assert [run["run_key"] for run in json.loads(told)] == [1]
    code, told = ask(address, "show")
    assert code == 0
    assert "failed" in told
    assert ask(address, "stop", "1")[0] != 0


def test_a_shown_run_has_its_epochs_and_the_gates_reasons(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    view = RunView(run=RUN, progress=1.0, epochs=((1, {"loss": 2.5, "num_clusters": 40.0}),), verdict=VERDICT)
    monkeypatch.setattr(AdaptationClient, "get", lambda self, run_key: view)
    told = ask(address, "show", "3")[1]
    for words in ("no better", "2.5", "40", "FAILED", "tracklet mAP 0.25, wanted 0.5", "8 of 10, 2 expired"):
        assert words in told
    assert json.loads(ask(address, "show", "3", "--json")[1])["verdict"]["checks"][0]["name"] == "retrieval"
