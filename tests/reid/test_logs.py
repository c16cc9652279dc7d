from __future__ import annotations

import json

import pytest
import structlog

from reid.logs import configure_logs


@pytest.fixture(autouse=True)
def _restore_structlog() -> object:
    yield
    structlog.reset_defaults()


def test_json_lines_carry_event_level_time_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(as_json=True)
    structlog.get_logger("x").warning("camera lost", camid="c1")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["camid"]) == ("camera lost", "warning", "c1")
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="warning")
    structlog.get_logger("x").info("chatter")
    structlog.get_logger("x").error("work lost", camid="c2")
    err = capsys.readouterr().err
    assert "chatter" not in err
    assert "work lost" in err
    assert "camid=c2" in err
