"""Work at a low priority, beside threads that must not wait for it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STEPS = 10
_LOWEST = 19


@contextmanager
def low_priority() -> Iterator[bool]:
    """Within the block, this thread gives way to the others of its machine; yields whether it does.

    Threads that begin within the block, such as those of a new inference session, are born with its priority and will
    do urgent work later: at its end they are lifted, too. Only who may lift (root, or a limit as `LimitNICE=+0` of
    systemd sets it) is lowered at all. Linux only; elsewhere nothing changes.
    """
    if not sys.platform.startswith("linux") or not _may_lift(usual := _niceness()):
        yield False
        return
    lowered = min(_LOWEST, usual + _STEPS)
    _set_niceness(threading.get_native_id(), lowered)
    try:
        yield True
    finally:
        for thread_id in _thread_ids():
            with suppress(OSError):  # it may have ended
                if os.getpriority(os.PRIO_PROCESS, thread_id) == lowered:
                    _set_niceness(thread_id, usual)


def _may_lift(usual: int) -> bool:
    """Whether a thread comes back up: tried out by one that lives no longer than this."""
    verdicts: list[bool] = []

    def try_out() -> None:
        thread_id = threading.get_native_id()
        try:
            _set_niceness(thread_id, min(_LOWEST, usual + 1))
            _set_niceness(thread_id, usual)
            verdicts.append(True)
        except OSError:
            verdicts.append(False)

    thread = threading.Thread(target=try_out, name="priority")
    thread.start()
    thread.join()
    return verdicts[0]


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def _set_niceness(thread_id: int, niceness: int) -> None:
    os.setpriority(os.PRIO_PROCESS, thread_id, niceness)


def _thread_ids() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/task").iterdir()]
