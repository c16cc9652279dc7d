import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import pytest

REPOSITORY = Path(__file__).parent.parent.parent


def command(release: Path, out: Path, *, duration_s: float) -> list[str]:
    flags = ["--release", str(release), "--out", str(out), "--duration-s", str(duration_s), "--cameras", "2", "--json"]
    flags.append("--no-refresh")
    return [sys.executable, "-m", "demo", *flags]


@pytest.mark.system
def test_the_demo_ends_by_itself_with_everything_stored(tmp_path, tiny_release):
    done = subprocess.run(
        command(tiny_release.folder, tmp_path / "out", duration_s=5), cwd=REPOSITORY, capture_output=True, timeout=110
    )
    assert done.returncode == 0, done.stderr.decode()
    summary = json.loads(done.stdout)
    assert summary["frames"] == 100
    assert summary["stored"] == summary["acknowledged"] > 0
    assert Path(summary["sheet"]).is_file()


@pytest.mark.system
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path, tiny_release):
    out = tmp_path / "out"
    demo = subprocess.Popen(
        command(tiny_release.folder, out, duration_s=600),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until_s = time.monotonic() + 60
    while not (out / "edge-c2.log").is_file() and time.monotonic() < until_s:
        time.sleep(0.1)
    demo.send_signal(signal.SIGINT)
    try:
        demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert demo.returncode == 130
    assert not [name for name in map(_command_line, Path("/proc").glob("[0-9]*")) if str(out) in name]


@pytest.mark.system
def test_a_demo_that_is_kept_serves_its_console_until_it_is_interrupted(tmp_path, tiny_release):
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*command(tiny_release.folder, out, duration_s=2), "--keep"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        summary = json.loads(demo.stdout.readline())
        url, token = ((out / f"console.{name}").read_text().strip() for name in ("url", "token"))
        trusted = ssl.create_default_context(cafile=str(out / "server" / "security" / "ca.crt"))
        with httpx.Client(base_url=url, verify=trusted, timeout=30, follow_redirects=True) as visitor:
            page = visitor.post("/login", data={"name": "demo", "token": token}).text
        demo.send_signal(signal.SIGINT)
        told = demo.communicate(timeout=60)[1]
    finally:
        demo.kill()
    assert demo.returncode == 0
    assert summary["stored"] > 0
    assert "demo <span" in page
    assert f"console: {url}, name demo, token in {out / 'console.token'}" in told
    assert not [name for name in map(_command_line, Path("/proc").glob("[0-9]*")) if str(out) in name]


@pytest.mark.system
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--release", "nowhere"], "release nowhere does not exist"),
        (["--people", "0"], "num_people"),
        (["--difficulty", "absurd"], "difficulty"),
    ],
    ids=["release", "people", "difficulty"],
)
def test_a_wrong_flag_is_explained_in_one_line(flags, words):
    done = subprocess.run(
        [sys.executable, "-m", "demo", *flags], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.system
def test_a_folder_of_an_earlier_run_is_refused(tmp_path, tiny_release):
    (tmp_path / "tiny_release" / "old").touch()
    done = subprocess.run(
        command(tiny_release.folder, tiny_release.folder, duration_s=1),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
