"""Downloads a release in processes that are killed, each at another step: `killed_updates.py FOLDER STEP…`.

FOLDER holds the release `old`, the files of a signed `site` with its `root.json`, and the directed release's name in
`ref.json`. A step is `before-` or `after-`, a name of `_STEPS`, and perhaps `-N` for the N-th time; its edge is
`FOLDER/STEP`. The children are forked, so that the libraries are loaded once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.updater import Updater

import edge.releases.updates
from edge.releases.directives import Directive, Directives
from edge.releases.fetcher import DownloadCall, GrpcFetcher
from edge.releases.store import ReleaseStore
from edge.releases.updates import Updates
from reid.release import load_release
from reid.types import ReleaseRef

_STEPS: dict[str, tuple[Any, str]] = {
    "root": (Updater, "_persist_root"),
    "metadata": (Updater, "_persist_metadata"),
    "sync": (edge.releases.updates, "_sync"),
    "part": (GrpcFetcher, "_append"),
    "file": (Updates, "_bring"),
    "load": (edge.releases.updates, "load_release"),
    "stage": (ReleaseStore, "stage"),
    "ask": (ReleaseStore, "_ask"),
}


@dataclass
class _Pieces:
    path: Path
    offset: int

    def __iter__(self) -> Iterator[bytes]:
        if not self.path.is_file():
            raise DownloadHTTPError(f"{self.path.name} is not there", 404)
        content = self.path.read_bytes()
        yield from (content[start : start + 1000] for start in range(self.offset, len(content), 1000))

    def cancel(self) -> None:
        pass


def open_edge(folder: Path, name: str) -> tuple[ReleaseStore, Directives]:
    """What carries out directives on one edge, on the files of the site."""
    store = ReleaseStore(folder / name)

    @contextmanager
    def line() -> Iterator[DownloadCall]:
        yield lambda path, offset: _Pieces(folder / "site" / path, offset)

    updates = Updates(store.folder / "updates", (folder / "site" / "root.json").read_text, line)
    return store, Directives(store, updates, lambda: load_release(folder / "old").ref)


def directive_of(folder: Path) -> Directive:
    """What the server directs."""
    return Directive("d1", "install", ReleaseRef(**json.loads((folder / "ref.json").read_text())))


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


def _update(folder: Path, step: str) -> None:
    _arm(step)
    _, directives = open_edge(folder, step)
    directives.take(directive_of(folder))
    directives.step()


def main(folder: Path, steps: list[str]) -> None:
    for step in steps:
        if (child := os.fork()) == 0:
            _update(folder, step)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"{step}: ended by itself"
        assert os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
