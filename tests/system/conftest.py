"""A server, and edges on it, for tests that start and kill real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import EdgeProcess, ServerProcess

from reid.release import Release


@pytest.fixture
def server(tmp_path: Path, tiny_release: Release) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, tiny_release)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def start_edge(tmp_path: Path, tiny_release: Release, server: ServerProcess) -> Iterator[Callable[[], EdgeProcess]]:
    started: list[EdgeProcess] = []

    def start() -> EdgeProcess:
        started.append(EdgeProcess(tmp_path, tiny_release, server.address))
        return started[-1]

    yield start
    for edge in started:
        edge.kill()
