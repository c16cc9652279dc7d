from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, observation

from reid.release import Release
from server.cli import main


@pytest.fixture
def address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    with running_server(tmp_path / "data", tiny_release) as listening:
        with TalkingEdge(listening) as edge:
            edge.welcome()
            edge.send(batch_message(1, *(observation(0, time_s=i) for i in range(4))))
            edge.acknowledgement()
        yield listening


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    return code if isinstance(code, int) else 0


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON on the last line; the server in this process may have logged before it."""
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_answers_are_json_on_request(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for command in (["status"], ["persons"], ["tracklets", "--sightings"], ["tracklets", "--person", "1"]):
        assert run(*command, "--json", "--server", address) == 0
        answers.append(answer(capsys))
    status, persons, tracklets, of_person = answers
    assert (status["num_observations"], status["edges"][0]["acked_seq"]) == (4, 4)
    assert persons[0]["camids"] == ["cam1"]
    assert tracklets[0]["sightings"][0]["box"] == [10.0, 20.0, 50.0, 120.0]
    assert (of_person[0]["camid"], of_person[0]["sightings"]) == ("cam1", [])


@pytest.mark.parametrize("command", ["status", "persons", "tracklets"])
def test_answers_are_tables_otherwise(address: str, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(command, "--server", address) == 0
    assert "cam1" in capsys.readouterr().out


def test_a_picture_is_searched(address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (80, 40, 3), dtype=np.uint8))
    assert run("search", "--image", str(tmp_path / "a.png"), "--json", "--server", address) == 0
    assert answer(capsys)[0]["person"]["person_id"] == 1
    assert run("search", "--image", str(tmp_path / "none.png"), "--server", address) == 2
    assert "cannot read picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "num_found"),
    [(["--camera", "cam1"], 1), (["--until", "1970-01-01T00:00:02"], 1), (["--since", "1970-01-02"], 0)],
    ids=["camera", "until", "since"],
)
def test_a_search_is_bound_to_cameras_and_times(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], num_found: int
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (80, 40, 3), dtype=np.uint8))
    assert run("search", "--image", str(tmp_path / "a.png"), "--json", "--server", address, *words) == 0
    assert len(answer(capsys)) == num_found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "tomorrow"], "--since 'tomorrow': wanted a date or time"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "--until 2026-01-01 lies before --since 2026-02-01"),
    ],
)
def test_times_that_make_no_span_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert run("search", "--image", str(tmp_path / "a.png"), *words) == 2
    assert message in capsys.readouterr().err


def test_a_sheet_is_written(address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert run("sheet", "--crops", str(tmp_path), "--out", str(out), "--server", address) == 2
    assert "give the crop folders" in capsys.readouterr().err
    (tmp_path / "cam1").mkdir()
    cv2.imwrite(str(tmp_path / "cam1" / "1.jpg"), np.zeros((60, 30, 3), dtype=np.uint8))
    assert run("sheet", "--crops", str(tmp_path), "--out", str(out), "--server", address) == 0
    assert cv2.imread(str(out)) is not None


def test_a_server_that_is_down_costs_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--server", "127.0.0.1:1") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_line_does_not_load_torch() -> None:
    check = "import sys, server.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_process_tells_its_port_and_ends_well(
    tmp_path: Path, tiny_release: Release, number: signal.Signals
) -> None:
    port_file = tmp_path / "port"
    words = [
        "run",
        "--data",
        str(tmp_path / "data"),
        "--listen",
        "127.0.0.1:0",
        "--insecure",
        "--port-file",
        str(port_file),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *words, "--release", str(tiny_release.folder)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    deadline = time.monotonic() + 60
    while not port_file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    with TalkingEdge(f"127.0.0.1:{port_file.read_text().strip()}") as edge:
        edge.welcome()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "listening on 127.0.0.1:" in errors
