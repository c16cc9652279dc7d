"""A server that is killed while it adapts: the next one goes on with the process that is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from processes import ServerProcess, wait_until

from reid.release import Release
from server.adaptation.book import RunBook
from server.adaptation.run import AdaptationRun
from server.adaptation_client import AdaptationClient
from server.storage.database import StorageSettings, open_database

pytestmark = pytest.mark.system

PROGRAM = """\
import os, pathlib, sys, time
print(os.getpid(), flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
print('done')
"""


def leave_training_run(data: Path, release: Release) -> None:
    """What a server leaves that was killed just before it started a training."""
    engine = open_database(StorageSettings(), data=data)
    run = AdaptationRun(
        trigger="operator", actor="ann", started_us=1, changed_us=1, parent=release.manifest.space, state="training"
    )
    begun = RunBook(engine).begin(run)
    engine.dispose()
    snapshot = data / "adaptation" / str(begun.run_key) / "snapshot"
    snapshot.mkdir(parents=True)
    (snapshot / "crops.csv").write_text("path,camid,tracklet,time_us,quality,part\n")


def test_a_training_outlives_its_server_and_is_found_again(
    tmp_path: Path, tiny_release: Release, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.kill()
    leave_training_run(server.data, tiny_release)
    program, go_on = tmp_path / "training.py", tmp_path / "go_on"
    program.write_text(PROGRAM)
    command = f"{{python}} {program} {go_on} {{snapshot}} {{init}} {{out}}"
    monkeypatch.setenv("OSPREY_SERVER_ADAPTATION__COMMAND", command)
    server.start()
    jobs = server.data / "adaptation" / "1" / "jobs"
    wait_until((jobs / "training-0" / "job.json").is_file, "the training has begun")
    server.kill()
    wrapper = json.loads((jobs / "training-0" / "job.json").read_text())["pid"]
    os.kill(wrapper, 0)
    server.start()
    with AdaptationClient(server.address) as client:
        assert client.get(1).run.state == "training"
        go_on.touch()
        wait_until(lambda: not client.get(1).run.is_active, "the training is over")
        assert "the training left no usable release" in client.get(1).run.message
    assert [path.name for path in jobs.iterdir()] == ["training-0"]
    assert (jobs / "training-0" / "log.txt").read_text().split()[1:] == ["done"]
