"""Prepares an embedder of another release beside the one that runs: refitted where that is offered, else built."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import structlog

from edge.backends.registry import BACKENDS, Backend, Refittable
from edge.backends.selection import Selection, select_embedder
from edge.engine import Engine
from edge.errors import DeviceMemoryError
from edge.releases.priority import low_priority
from reid.embedder import Embedder, check_golden
from reid.errors import OspreyError, ReleaseError
from reid.release import Release

logger = structlog.get_logger(__name__)


def open_beside(
    release: Release, engine: Engine, *, num_threads: int, backends: Mapping[str, Backend] = BACKENDS
) -> Selection:
    """Open a release with the back end of the one that runs, and check its golden crops; at low priority beside one.

    The precision is that of the one that runs; where this release does not come out right in it, the fastest of the
    others.

    Args:
        release: A verified one.
        engine: Runs on, untouched.
        num_threads: Threads of one call; 0 for one per core.
        backends: To choose from, by name.

    Raises:
        DeviceMemoryError: The device has no memory for two; with the running one closed it may have.
        BackendError: The back end does not run it.
        ReleaseError: It cannot be run, or what comes out is not what was released.
    """
    with low_priority() if engine.running is not None else nullcontext():
        refitted = _refitted(release, engine.running)
        if refitted is not None:
            return refitted
        return _built(release, engine, num_threads, backends)


def _refitted(release: Release, running: Embedder | None) -> Selection | None:
    if not isinstance(running, Refittable):
        return None
    try:
        embedder = running.refitted(release)
        return Selection(embedder, check_golden(embedder, release), "refitted")
    except DeviceMemoryError:
        raise
    except OspreyError as error:
        logger.warning("refit failed, building instead", release=str(release.ref), reason=str(error))
        return None


def _built(release: Release, engine: Engine, num_threads: int, backends: Mapping[str, Backend]) -> Selection:
    facts = engine.facts
    backend = backends[facts.backend]
    same = {facts.backend: replace(backend, precisions=lambda _: (facts.precision,))}
    try:
        return select_embedder(release, asked=facts.backend, num_threads=num_threads, backends=same)
    except ReleaseError as error:
        if set(backend.precisions(release)) <= {facts.precision}:
            raise
        logger.warning("other precisions are tried", precision=facts.precision, reason=str(error))
        return select_embedder(release, asked=facts.backend, num_threads=num_threads, backends=backends)
