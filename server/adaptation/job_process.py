"""Runs one command within limits, and leaves behind how it ended: `python -m server.adaptation.job_process FOLDER`.

The folder holds, in the order in which they appear:

request.json  the command and its limits, by whoever starts this
job.lock      locked while this runs: a command never runs twice in one folder
job.json      this process and when it began, so that a server that was started again finds it
log.txt       what the command says
exit.json     how it ended; without it, and without the process, it was killed

This process leads a session of its own, which signals reach whole. It outlives the server; the command does not outlive
this process.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.files import write_json_atomic
from server.adaptation.processes import started_at

REQUEST_FILE = "request.json"
LOCK_FILE = "job.lock"
JOB_FILE = "job.json"
LOG_FILE = "log.txt"
EXIT_FILE = "exit.json"

EXIT_LOCKED = 75
"""Another process runs, or ran, the command of this folder."""
EXIT_NOT_FOUND = 127
"""The command cannot be started; the log says why."""
_PR_SET_PDEATHSIG = 1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_job(folder: Path) -> int:
    """Run what the folder asks for, to its end.

    Returns:
        Exit code of this process; that of the command is in the folder.

    Raises:
        OSError: The folder cannot be read or written.
    """
    request: dict[str, Any] = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
    with (folder / LOCK_FILE).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return EXIT_LOCKED
        if (folder / JOB_FILE).exists():
            return EXIT_LOCKED
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, lambda *_: None
            )  # the command gets it too, and decides; not SIG_IGN: it would inherit
        own = {"pid": os.getpid(), "started_at": started_at(os.getpid()), "command": request["command"]}
        write_json_atomic(folder / JOB_FILE, own)
        write_json_atomic(folder / EXIT_FILE, _run(request, folder))
    return 0


def _run(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """How the command ended: its exit code (less than 0: minus the signal), and whether it took too long."""
    with (folder / LOG_FILE).open("ab") as log:
        try:
            child = _start(request, log)
        except OSError as error:
            log.write(f"cannot start {request['command'][0]}: {error.strerror}\n".encode())
            return {"code": EXIT_NOT_FOUND, "is_too_long": False}
        try:
            return {"code": child.wait(request["limit_s"]), "is_too_long": False}
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
        try:
            return {"code": child.wait(request["grace_s"]), "is_too_long": True}
        except subprocess.TimeoutExpired:
            child.kill()
            return {"code": child.wait(), "is_too_long": True}


def _start(request: Mapping[str, Any], log: Any) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    if num_cpus := int(request["num_cpus"]):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-num_cpus:])
        environment |= dict.fromkeys(_THREAD_VARIABLES, str(num_cpus))
    os.nice(int(request["nice"]))
    libc = ctypes.CDLL(None, use_errno=True)
    memory_bytes = int(request["memory_bytes"])

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would watch it
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))

    return subprocess.Popen(
        request["command"],
        cwd=request["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        preexec_fn=before_exec,  # this process has one thread only
    )


def _end_strays() -> None:
    """Kill what the command left running in this session, this process with it."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    code = run_job(Path(sys.argv[1]))
    if code == 0:
        _end_strays()
    sys.exit(code)
