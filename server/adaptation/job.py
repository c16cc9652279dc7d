"""A process that outlives the server: started, found again, watched and ended through a folder of its own.

`server.adaptation.job_process` tells what the folder holds. One folder is one attempt: a second one
is never started in it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reid.files import write_json_atomic
from server.adaptation.job_process import EXIT_FILE, EXIT_LOCKED, JOB_FILE, LOG_FILE, REQUEST_FILE
from server.adaptation.processes import started_at
from server.adaptation.settings import JobSettings
from server.errors import AdaptationError

_LOOK_S = 0.05
_TAIL_BYTES = 8192
_MOST_CHARACTERS = 400
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

JobState = Literal["new", "running", "ended", "lost"]
"""`lost`: the process is gone, and did not say how it ended."""


@dataclass(frozen=True)
class JobEnd:
    """How a command ended.

    Attributes:
        code: 0 for done; less than 0 is minus the signal that killed it.
        is_too_long: It was ended because it ran too long.
        last_line: Of its log.
    """

    code: int
    is_too_long: bool
    last_line: str

    def explain(self, what: str) -> str:
        """A sentence for operators.

        Args:
            what: What the command was, such as "training".
        """
        tail = f": {self.last_line}" if self.last_line else ""
        if self.is_too_long:
            return f"{what} ran longer than adaptation.job.limit_h allows, and was ended{tail}"
        if self.code == -signal.SIGKILL:
            return f"{what} was killed, as when a machine has no memory left{tail}"
        if self.code < 0:
            return f"{what} was ended by {signal.Signals(-self.code).name}{tail}"
        return f"{what} ended with code {self.code}{tail or ', and said nothing'}"


class Job:
    """One attempt at one command.

    Args:
        folder: Of its own.
        settings: Limits.
    """

    def __init__(self, folder: Path, settings: JobSettings) -> None:
        self.folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def state(self) -> JobState:
        """Where it is."""
        if self._process is not None:
            self._process.poll()  # else it would stay as a zombie
        if (self.folder / EXIT_FILE).exists():
            return "ended"
        own = self._read(JOB_FILE)
        if own is None:
            return "new"
        if started_at(int(own["pid"])) == own["started_at"]:
            return "running"
        return "ended" if (self.folder / EXIT_FILE).exists() else "lost"  # it may have ended while we looked

    def start(self, command: Sequence[str]) -> None:
        """Start it, unless it was; returns when the process can be found.

        Raises:
            AdaptationError: The folder cannot be written, or no process came up.
        """
        settings = self._settings
        request = {
            "command": list(command),
            "cwd": str(self.folder),
            "nice": settings.nice,
            "memory_bytes": settings.memory_mib << 20,
            "num_cpus": settings.cpus,
            "limit_s": settings.limit_h * 3600,
            "grace_s": settings.grace_s,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self.folder / REQUEST_FILE, request)
            with (self.folder / LOG_FILE).open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "server.adaptation.job_process", str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise AdaptationError(f"cannot start {command[0]} in {self.folder}: {error.strerror}") from None
        self._await_process(self._process)

    def end(self) -> JobEnd:
        """How it ended. Only when `state` is "ended"."""
        values = self._read(EXIT_FILE) or {}
        return JobEnd(int(values["code"]), bool(values["is_too_long"]), self.last_line())

    def last_line(self) -> str:
        """The last words of its log; empty without any."""
        try:
            with (self.folder / LOG_FILE).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in _COLOURS.sub("", text).replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1][:_MOST_CHARACTERS] if lines else ""

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not. Blocks until it is gone."""
        if self._signal(signal.SIGINT) and not self._wait(self._settings.grace_s):
            self._signal(signal.SIGKILL)
            self._wait(self._settings.grace_s)

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to the whole session; false if it is gone."""
        own = self._read(JOB_FILE)
        if own is None or self.state() != "running":
            return False
        try:
            os.killpg(int(own["pid"]), number)
        except ProcessLookupError:
            return False
        return True

    def _wait(self, limit_s: float) -> bool:
        """True once it no longer runs."""
        until_s = time.monotonic() + limit_s
        while self.state() == "running":
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_S)
        return True

    def _await_process(self, process: subprocess.Popen[bytes]) -> None:
        until_s = time.monotonic() + self._settings.grace_s
        while not (self.folder / JOB_FILE).exists():
            code = process.poll()
            if code not in (None, 0, EXIT_LOCKED) or time.monotonic() > until_s:
                raise AdaptationError(f"the process of {self.folder} did not come up: {self.last_line() or code}")
            time.sleep(_LOOK_S)

    def _read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder; None without it. They appear whole."""
        try:
            values: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return values
