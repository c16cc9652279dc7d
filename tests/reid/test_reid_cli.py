from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reid.cli import new_app, print_json, print_warning, run_app
from reid.errors import OspreyError


def raise_(error: BaseException) -> None:
    raise error


def run(command: Callable[[], None], *arguments: str) -> int:
    app = new_app("For tests.")
    app.command("act")(command)
    app.command("other")(lambda: None)
    with pytest.raises(SystemExit) as stopped:
        run_app(app, arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_command_that_ends_exits_with_zero() -> None:
    assert run(lambda: None, "act") == 0


def test_our_errors_become_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    message = "release [bold]x[/bold] is " + "very " * 60 + "broken"
    assert run(lambda: raise_(OspreyError(message)), "act") == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_errors_of_the_system_name_their_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: raise_(OSError(28, "No space left on device", "/data/spool")), "act") == 2
    assert capsys.readouterr().err == "error: /data/spool: No space left on device\n"


def test_faults_of_ours_keep_their_traceback() -> None:
    app = new_app("For tests.")
    app.command("act")(lambda: raise_(ZeroDivisionError("fault")))
    with pytest.raises(ZeroDivisionError, match="fault"):
        run_app(app, [])


def test_ctrl_c_exits_with_130() -> None:
    assert run(lambda: raise_(KeyboardInterrupt()), "act") == 130


@pytest.mark.parametrize("arguments", [("unknown",), ("act", "--unknown")])
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: None, *arguments) == 2
    assert "nknown" in capsys.readouterr().err


def test_json_is_one_line_and_knows_paths_and_numpy_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"folder": Path("a/b"), "mAP": np.float32(0.5), "count": np.int64(3), "name": "Jörg"})
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text) == {"folder": "a/b", "mAP": 0.5, "count": 3, "name": "Jörg"}


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (object(), TypeError)])
def test_what_json_cannot_say_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="JSON"):
        print_json({"value": value})


def test_warnings_leave_stdout_to_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    print_warning("low disk")
    assert capsys.readouterr() == ("", "warning: low disk\n")
