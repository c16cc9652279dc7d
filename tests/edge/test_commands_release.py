from __future__ import annotations

import json
import threading

import pytest
from fakes_server import FakeServer
from fakes_source import LONG_S, Hang
from releases import write_tiny_release

from edge.agent import Agent
from edge.cli import main
from edge.errors import BackendError
from edge.releases.store import ReleaseStore
from edge.settings import AgentSettings
from reid.release import MODEL_FILE


@pytest.fixture
def run(capsys, tmp_path):
    """Runs `osprey-edge release …` in this process: exit code, stdout, stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(["release", *map(str, words), "--spool", str(tmp_path / "edge.spool")])
        out, err = capsys.readouterr()
        # The agent of the same test logs in this process, too.
        answer = "\n".join(line for line in out.splitlines() if not line.startswith("20"))
        return ended.value.code or 0, answer, " ".join(err.split())

    return run


@pytest.fixture
def store(tmp_path):
    store = ReleaseStore(tmp_path / "edge.spool.releases")
    store.folder.mkdir()
    return store


@pytest.fixture
def agent(tmp_path, tiny_release):
    """An agent that runs, on a camera where nobody passes by, and confirms a release after half a second."""
    server, stop = FakeServer(), threading.Event()
    values = {
        "edge_id": "edge1",
        "cameras": {"cam1": "sim:?people=1&cameras=1&duration_s=3600"},
        "server": server.address,
        "release": tiny_release.folder,
        "detector": "truth",
        "spool": {"path": tmp_path / "edge.spool"},
        "releases": {"probation_s": 0.5},
        "num_threads": 1,
    }
    agent = Agent(AgentSettings.model_validate(values))
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    yield agent
    stop.set()
    thread.join(LONG_S)
    agent.close()
    server.stop()


@pytest.fixture
def newer(tmp_path):
    return write_tiny_release(tmp_path / "newer", seed=1, version="2")


def test_install_with_the_agent_running_waits_for_the_outcome(run, agent, newer):
    code, out, err = run("install", newer.folder, "--json")
    answer = json.loads(out)
    assert (code, answer["verdict"], answer["release"]) == (0, "confirmed", str(newer.ref)), err
    assert (agent.report().release, agent.report().refresh.num_swaps) == (str(newer.ref), 1)


def test_a_roll_back_goes_to_the_configured_release_which_the_agent_has_kept(run, agent, newer, tiny_release):
    assert run("install", newer.folder)[0] == 0
    assert run("rollback")[0] == 0
    assert agent.report().release == str(tiny_release.ref)
    listed = json.loads(run("list", "--json")[1])
    assert [(row["release"], row["status"]) for row in listed["releases"]] == [("tiny 1", "runs"), ("", "failed")]
    assert "rolled back by the operator" in listed["releases"][1]["reason"]


def test_a_release_that_computes_something_else_is_an_error_and_the_old_one_runs(run, agent, newer):
    manifest = json.loads((newer.folder / "manifest.json").read_text())
    (newer.folder / "manifest.json").write_text(json.dumps({**manifest, "golden_cosine": {"fp32": 1.5}}))
    code, _, err = run("install", newer.folder)
    assert code == 2
    assert "was not taken: release tiny 2" in err
    assert "wanted at least 1.5" in err
    assert "runs on" in err
    assert agent.engine.release.version == "1"


def test_without_waiting_the_agent_goes_on_alone(run, agent, newer):
    code, out, _ = run("install", newer.folder, "--no-wait", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "asked")


def test_an_outcome_that_takes_too_long_is_an_error_that_says_how_it_stands(run, agent, newer, monkeypatch):
    hang = Hang()

    def prepare(release, engine):
        hang()
        raise BackendError("over")

    monkeypatch.setattr(agent._refresh, "_prepare", prepare)
    code, _, err = run("install", newer.folder, "--timeout", "1")
    assert code == 2
    assert "no outcome after 1 s (preparing)" in err
    code, _, err = run("install", newer.folder)
    assert (code, "busy: install of" in err) == (2, True)
    assert [row["status"] for row in json.loads(run("list", "--json")[1])["releases"]] == ["runs", "preparing"]
    hang.released.set()


def test_without_an_agent_a_release_waits_for_the_next_start(run, store, newer):
    code, out, _ = run("install", newer.folder, "--json")
    answer = json.loads(out)
    assert (code, answer["verdict"]) == (0, "waits")
    assert store.read_request().key == answer["key"]
    assert "waits" in run("list")[1]


def test_without_an_agent_there_is_nothing_to_roll_back_to_at_first(run, store):
    code, _, err = run("rollback")
    assert code == 2
    assert "no release before" in err


def test_an_altered_release_is_one_clear_error(run, store, newer):
    with (newer.folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    code, _, err = run("install", newer.folder)
    assert code == 2
    assert "was altered or damaged" in err


def test_a_folder_that_no_agent_uses_is_an_error_that_names_the_flags(run, newer, tmp_path):
    code, _, err = run("install", newer.folder)
    assert code == 2
    assert "name the agent's --config, --spool or --releases" in err
    assert not (tmp_path / "edge.spool.releases").exists()


def test_the_place_is_read_from_the_agents_config(capsys, store, tmp_path):
    config = tmp_path / "edge.toml"
    config.write_text(f'server = "127.0.0.1:1"\n[spool]\npath = "{tmp_path}/edge.spool"\n')
    with pytest.raises(SystemExit):
        main(["release", "list", "--config", str(config), "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert (listed["folder"], listed["agent_runs"], listed["running"]) == (str(store.folder), False, None)
