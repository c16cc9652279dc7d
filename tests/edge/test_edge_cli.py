from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import grpc
import pytest
import structlog
from fakes_server import FakeServer
from fakes_systemd import FakeSystemd
from sequences import write_sequence

from edge.cli import main
from edge.errors import SpoolError


@pytest.fixture(autouse=True)
def logs_of_the_test_only():
    """A command sets logs up for its process; here the process goes on without pytest's stderr of this test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def server():
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def arguments(tmp_path, tiny_release, server):
    words = {
        "--camera": f"cam1={write_sequence(tmp_path / 'walk')}",
        "--server": server.address,
        "--release": str(tiny_release.folder),
        "--detector": "truth",
        "--edge-id": "edge1",
        "--spool": str(tmp_path / "edge.spool"),
        "--threads": "1",
    }
    return ["run", *(word for pair in words.items() for word in pair)]


def run(capsys, *arguments):
    """Run the command line in this process: its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    captured = capsys.readouterr()
    return exit_info.value.code or 0, captured.out, captured.err


def test_run_once_prints_its_report_as_the_last_line(capsys, arguments, server):
    code, out, _ = run(capsys, *arguments, "--once", "--json")
    report = json.loads(out.splitlines()[-1])
    assert code == 0
    assert report["cameras"]["cam1"]["frames"] == 30
    assert report["acknowledged"] == report["spooled"] == server.num_stored
    assert {"sent", "rejected", "spool_dropped", "bytes_sent", "remaining", "stage_ms"} <= report.keys()


def test_the_back_end_that_ran_is_in_the_report(capsys, arguments):
    pytest.importorskip("openvino", reason="openvino is not installed")
    code, out, err = run(capsys, *arguments, "--once", "--json", "--backend", "auto")
    report = json.loads(out.splitlines()[-1])
    assert code == 0
    assert all(f"{key}={report[key]}" in err for key in ("backend", "precision"))


def test_refused_edge_says_why_and_where_its_observations_are(capsys, arguments, server):
    server.refuse = (grpc.StatusCode.FAILED_PRECONDITION, "this server serves space s9")
    code, out, err = run(capsys, *arguments, "--once", "--json")
    assert code == 2
    assert json.loads(out.splitlines()[-1])["remaining"] > 0
    assert "this server serves space s9" in err
    assert "edge.spool" in err


def test_missing_video_is_one_clear_error(capsys, arguments):
    arguments[arguments.index("--camera") + 1] = "cam1=no/such.mp4"
    code, _, err = run(capsys, *arguments, "--once")
    assert code == 2
    assert "error: camera cam1" in err
    assert "no/such.mp4" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--camera", "door"], "wanted CAMID=PATH_OR_URL"),
        (["--camera", "cam1=x", "--camera", "cam1=y"], "given twice"),
        (["--server", "nowhere"], "wanted HOST:PORT"),
        (["--release", "no/such/release"], "is no release"),
        (["--detector", "no/such.onnx"], "no/such.onnx"),
        (["--backend", "abacus"], "backend: Value error, wanted onnxruntime, openvino, tensorrt or auto"),
        (["--config", "no/such.toml"], "cannot read config file"),
        (["--log-level", "loud"], "wanted one of debug, info, warning, error"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, changes, message):
    if changes[0] == "--camera":
        del arguments[1:3]
    code, _, err = run(capsys, *arguments, *changes, "--once")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_help_teaches_by_examples(capsys):
    _, out, _ = run(capsys, "run", "--help")
    for words in ("osprey-edge run --camera door=rtsp://", "config validate edge.toml", "webcam:NUMBER", "det.txt"):
        assert words in " ".join(out.split())


def test_once_fails_when_observations_were_lost(capsys, arguments, monkeypatch):
    def append(self, observations, *, space):
        raise SpoolError("database or disk is full")

    monkeypatch.setattr("edge.spool.Spool.append", append)
    code, out, err = run(capsys, *arguments, "--once", "--json")
    assert (code, json.loads(out.splitlines()[-1])["acknowledged"]) == (2, 0)
    assert "observations could not be written" in err


def test_closed_stderr_stops_nothing(arguments, server):
    command = [sys.executable, "-m", "edge", *arguments, "--once", "--json"]
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["acknowledged"] == server.num_stored > 0


def test_config_file_is_judged(capsys, tmp_path, tiny_release):
    path = tmp_path / "edge.toml"
    path.write_text(f'server = "127.0.0.1:1"\nrelease = "{tiny_release.folder}"\n[cameras]\ndoor = "x.mp4"\n')
    assert run(capsys, "config", "validate", str(path))[0] == 0
    path.write_text('srever = "a:1"\n[cameras]\ndoor = "x.mp4"\n')
    code, _, err = run(capsys, "config", "validate", str(path))
    assert code == 2
    assert "did you mean 'server'" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_stops_a_running_agent_cleanly(arguments, server, number):
    command = [sys.executable, "-m", "edge", *arguments, "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    ) as process:
        try:
            for line in process.stderr:
                if "camera ended" in line:
                    break
            process.send_signal(number)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()  # else leaving waits for ever
    report = json.loads(out.splitlines()[-1])
    assert process.returncode == 0
    assert (report["remaining"], report["acknowledged"]) == (0, server.num_stored)


def test_systemd_hears_that_the_agent_is_ready_alive_and_stopping(tmp_path, arguments):
    systemd = FakeSystemd(tmp_path / "notify")
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "2000000"}
    with subprocess.Popen(
        [sys.executable, "-m", "edge", *arguments], stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            heard = systemd.heard(timeout_s=60)
            while "WATCHDOG=1" not in heard:
                heard += systemd.heard(timeout_s=5)
            process.terminate()
            process.wait(timeout=30)
        finally:
            process.kill()  # else leaving waits for ever
    heard += systemd.heard()
    assert (heard[0], heard[-1], set(heard[1:-1])) == ("READY=1", "STOPPING=1", {"WATCHDOG=1"})
