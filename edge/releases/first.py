"""Which release an agent starts with: the one that was confirmed last, or the configured one."""

from __future__ import annotations

from pathlib import Path

import structlog

from edge.engine import Engine, open_release
from edge.releases.store import ReleaseStore
from reid.errors import ReleaseError
from reid.release import Release, load_release

logger = structlog.get_logger(__name__)


def open_first(store: ReleaseStore, configured: Path, *, num_threads: int, backend: str) -> tuple[Engine, Release]:
    """Open what an agent starts with.

    A confirmed release that is damaged, or does not pass its golden check any more, gives way to the one before it.
    What was tried is written down only when something has started, so that a fault of the machine costs no release.

    Args:
        store: Held by this agent.
        configured: The release of the settings; runs until another one was installed.
        num_threads: Threads of one call; 0 for one per core.
        backend: One of `edge.backends.registry.BACKENDS`, or `auto` for the fastest.

    Raises:
        BackendError: The back end is not installed or does not run on this machine.
        ReleaseError: Not even the configured release can be started.
    """
    state = before = store.recover()
    opened = None
    while state.confirmed is not None and opened is None:
        try:
            release = store.load(state.confirmed)
            opened = open_release(release, num_threads=num_threads, backend=backend), release
        except ReleaseError as error:
            logger.error("confirmed release cannot be started", release=state.confirmed, reason=str(error))
            state = state.fall_back(str(error))
    if opened is None:
        release = load_release(configured)
        opened = open_release(release, num_threads=num_threads, backend=backend), release
    else:
        logger.info("an installed release runs, not the configured one", configured=str(configured))
    if state is not before:
        store.write_state(state)
    return opened
