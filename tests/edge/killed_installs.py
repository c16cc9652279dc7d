"""Installs a release in processes that are killed, each at another step: `killed_installs.py FOLDER BACKEND STEP…`.

FOLDER holds the releases `old` and `new`; the store of a step is `FOLDER/STEP`. A step is `before-` or `after-`, a name
of `_STEPS`, and perhaps `-N` for the N-th time. The children are forked, so that the libraries are loaded once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import edge.releases.preparation
import edge.releases.refresh
import edge.releases.store
from edge.engine import Engine
from edge.releases.first import open_first
from edge.releases.preparation import open_beside
from edge.releases.refresh import Refresh
from edge.releases.store import ReleaseSettings, ReleaseStore

_STEPS: dict[str, tuple[Any, str]] = {
    "copy": (edge.releases.store, "_copy"),
    "stage": (ReleaseStore, "stage"),
    "ask": (ReleaseStore, "_ask"),
    "write": (ReleaseStore, "write_state"),
    "clear": (ReleaseStore, "clear_request"),
    "open": (edge.releases.preparation, "select_embedder"),
    "swap": (Engine, "swap"),
    "confirm": (Engine, "confirm"),
    "prune": (ReleaseStore, "prune"),
}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(step: str) -> None:
    """Replace a function by one that kills the process before or after its N-th call."""
    when, name, *number = step.split("-")
    owner, attribute = _STEPS[name]
    inner: Callable[..., Any] = getattr(owner, attribute)
    calls_left = [int(number[0]) if number else 1]

    def armed(*args: Any, **values: Any) -> Any:
        calls_left[0] -= 1
        if calls_left[0] == 0 and when == "before":
            _die()
        answer = inner(*args, **values)
        if calls_left[0] == 0:
            _die()
        return answer

    setattr(owner, attribute, armed)


def _install(folder: Path, backend: str, step: str) -> None:
    store = ReleaseStore(folder / step)
    with store.held() as is_held:
        assert is_held
        engine, release = open_first(store, folder / "old", num_threads=1, backend=backend)
        prepare = partial(open_beside, num_threads=1)
        refresh = Refresh(engine, store, release, prepare=prepare, settings=ReleaseSettings(probation_batches=2))
        _arm(step)
        store.ask_to_install(folder / "new")
        refresh.step()
        for _ in range(2):
            engine.embed(release.golden.crops)
        refresh.step()


def main(folder: Path, backend: str, steps: list[str]) -> None:
    for step in steps:
        if (child := os.fork()) == 0:
            _install(folder, backend, step)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"{step}: ended by itself"
        assert os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
