import sys
import time

import pytest

from demo.children import Child, Children, wait_until
from demo.errors import DemoError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_last_line_on_stdout_is_the_report(tmp_path):
    child = Child("edge", python("print('hello'); print('{\"sent\": 3}')"), tmp_path)
    child.wait(20)
    assert child.report() == {"sent": 3}


@pytest.mark.parametrize("code", ["pass", "print('no json')", "print('[1]')"], ids=["nothing", "text", "a list"])
def test_a_child_without_a_report_is_named(tmp_path, code):
    child = Child("edge-c2", python(code), tmp_path)
    child.wait(20)
    with pytest.raises(DemoError, match="edge-c2 printed no report"):
        child.report()


def test_last_words_of_a_failed_child_are_shown(tmp_path):
    child = Child("server", python("import sys; sys.exit('error: port is taken')"), tmp_path)
    with pytest.raises(DemoError, match=r"server ended with exit code 1(.|\n)*error: port is taken"):
        child.wait(20)


def test_a_program_that_does_not_exist_cannot_be_started(tmp_path):
    with pytest.raises(DemoError, match="server cannot be started"):
        Child("server", [str(tmp_path / "nothing")], tmp_path)


def test_no_child_outlives_the_block(tmp_path):
    started = []

    def interrupted() -> None:
        with Children(tmp_path) as children:
            started.extend(children.start(name, python("import time; time.sleep(60)")) for name in ("a", "b"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not any(child.is_running for child in started)


def test_a_child_that_ignores_the_request_is_ended(tmp_path):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = Child("deaf", python(code), tmp_path)
    wait_until(lambda: "deaf" in (tmp_path / "deaf.out").read_text(), [child], limit_s=20, what="start", every_s=0.01)
    child.stop(grace_s=0.05)
    assert not child.is_running


def test_waiting_ends_at_once_when_a_child_fails(tmp_path):
    child = Child("server", python("raise SystemExit('no space left')"), tmp_path)
    started_s = time.monotonic()
    with pytest.raises(DemoError, match="no space left"):
        wait_until(lambda: False, [child], limit_s=60, what="the port", every_s=0.01)
    assert time.monotonic() - started_s < 30


def test_waiting_is_bounded(tmp_path):
    with pytest.raises(DemoError, match=r"the port: not within 0\.05 s"):
        wait_until(lambda: False, [], limit_s=0.05, what="the port", every_s=0.01)
