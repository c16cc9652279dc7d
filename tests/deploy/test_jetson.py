from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from edge.cli import main
from edge.settings import ENV_PREFIX, AgentSettings
from edge.sources.gstreamer import pipeline
from edge.sources.uri import gstreamer_parts
from reid.settings import load_settings

REPOSITORY = Path(__file__).parents[2]
JETSON = REPOSITORY / "deploy" / "jetson"
UNIT = JETSON / "osprey-edge.service"


def unit_values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0] for line in requirements if line and line[0] != "#"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/osprey/venv/bin/osprey-edge", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_hears_the_agent_and_limits_its_memory() -> None:
    assert (unit_values("Type"), unit_values("NotifyAccess"), unit_values("Restart")) == (
        ["notify"],
        ["main"],
        ["always"],
    )
    assert int(unit_values("WatchdogSec")[0]) >= 30
    assert unit_values("MemoryMax")


def test_what_the_unit_starts_asks_for_nothing_but_the_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = unit_values("ExecStart")
    arguments = command.replace("/etc/osprey/edge.toml", str(JETSON / "edge.toml")).split()[1:]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "/etc/osprey/edge.bundle" in capsys.readouterr().err


def test_the_example_config_is_valid_and_writes_only_where_the_unit_may() -> None:
    settings = load_settings(AgentSettings, path=JETSON / "edge.toml", env_prefix=ENV_PREFIX)
    (state,) = unit_values("StateDirectory")
    assert settings.spool.path.is_relative_to(Path("/var/lib") / state)
    assert all(gstreamer_parts(uri) for uri in settings.cameras.values())


def test_no_dependency_brings_an_opencv_that_hides_the_systems() -> None:
    overridden = requirement_names((JETSON / "overrides.txt").read_text().splitlines())
    asked = requirement_names([*(requires("supervision") or []), *(requires("trackers") or [])])
    assert {name for name in asked if name.startswith("opencv")} <= overridden
    assert {"opencv-python", "numpy"} <= overridden


def test_the_image_copies_what_there_is_and_installs_through_the_overrides() -> None:
    dockerfile = (JETSON / "Dockerfile").read_text()
    sources = [word for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]]
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    assert {"edge", "reid", "protos", "simulation", "models"} <= set(sources)
    assert "--override /opt/osprey/overrides.txt --constraint /opt/osprey/constraints.txt" in dockerfile
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["osprey"]


def test_the_readme_shows_the_pipeline_that_runs() -> None:
    assert pipeline("rtsp://…", codec="h264") in " ".join((JETSON / "README.md").read_text().split())
