"""The demo's processes: started with their output in log files, stopped in any case, last words kept for errors."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from demo.errors import DemoError

_STOP_S = 8.0
_LAST_WORDS = 12


class Child:
    """One process.

    Args:
        name: What it is called in messages; its output goes to `{name}.out` and `{name}.log`.
        command: Its command line.
        folder: For the output.

    Raises:
        DemoError: It cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self._out, self._log = folder / f"{name}.out", folder / f"{name}.log"
        with self._out.open("wb") as out, self._log.open("wb") as log:
            try:
                # A session of its own: Ctrl-C reaches the demo only, which then stops its children in order.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=log,
                    start_new_session=True,
                    env=_environment(),
                )
            except OSError as error:
                raise DemoError(f"{name} cannot be started: {error}") from None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def check(self) -> None:
        """Complain if it has ended badly.

        Raises:
            DemoError: Its exit code is not 0; the end of its log is in the message.
        """
        code = self._process.poll()
        if code:
            raise DemoError(f"{self.name} ended with exit code {code}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """End of its log."""
        return "\n".join(_lines(self._log)[-_LAST_WORDS:])

    def report(self) -> dict[str, Any]:
        """The last line that it printed, as JSON.

        Raises:
            DemoError: That is no JSON object.
        """
        lines = _lines(self._out)
        with contextlib.suppress(json.JSONDecodeError):
            report = json.loads(lines[-1] if lines else "")
            if isinstance(report, dict):
                return report
        raise DemoError(f"{self.name} printed no report. Its last words:\n{self.last_words()}")

    def wait(self, limit_s: float) -> None:
        """Wait for its end.

        Raises:
            DemoError: It ended badly, or not within `limit_s`.
        """
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self.name} is not done after {limit_s:g} s") from None
        self.check()

    def stop(self, *, grace_s: float = _STOP_S) -> None:
        """Ask it to end, and end it if it has not after `grace_s`."""
        if not self.is_running:
            return
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Children:
    """All processes of one run; the last one started is the first one stopped.

    Args:
        folder: For their output.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a process.

        Raises:
            DemoError: It cannot be started.
        """
        child = Child(name, command, self._folder)
        self._children.append(child)
        return child

    def __enter__(self) -> Children:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all that still run."""
        for child in reversed(self._children):
            child.stop()


def wait_until(
    is_done: Callable[[], bool], children: Sequence[Child], *, limit_s: float, what: str, every_s: float = 0.1
) -> None:
    """Wait for something that the children bring about.

    Raises:
        DemoError: It did not happen within `limit_s`, or a child ended badly.
    """
    until_s = time.monotonic() + limit_s
    while not is_done():
        for child in children:
            child.check()
        if time.monotonic() > until_s:
            words = "\n".join(f"{child.name}:\n{child.last_words()}" for child in children if child.is_running)
            raise DemoError(f"{what}: not within {limit_s:g} s. Last words:\n{words}")
        time.sleep(every_s)


def _environment() -> dict[str, str]:
    """Ours, with one thread for each numeric library: the processes share few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
