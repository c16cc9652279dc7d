from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from reid.errors import ConfigError
from reid.logs import LogStream, configure_logs


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


def test_every_line_names_what_the_process_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(as_json=True, fields={"edge_id": "gate"})
    structlog.get_logger("x").info("stopped")
    structlog.get_logger("x").info("edge connected", edge_id="hall")
    assert [json.loads(line)["edge_id"] for line in capsys.readouterr().err.splitlines()] == ["gate", "hall"]


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="warning")
    structlog.get_logger("x").info("chatter")
    structlog.get_logger("x").error("work lost", camid="c2")
    err = capsys.readouterr().err
    assert "chatter" not in err
    assert "work lost" in err
    assert "camid=c2" in err


class Broken(io.StringIO):
    """A stream that fails in the way it is told to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def isatty(self) -> bool:
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError("closed"), SystemExit(1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_that_cannot_be_written_is_lost_without_a_word(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, as_json: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(error))
    configure_logs(as_json=as_json)
    structlog.get_logger("x").warning("camera lost", camid="c1")


def test_a_process_without_stderr_logs_nowhere() -> None:
    stream = LogStream(None)
    stream.write("line")
    stream.flush()
    assert not stream.isatty()


def test_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'loud': wanted one of debug, info, warning, error"):
        configure_logs(level="loud")
