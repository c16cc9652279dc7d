from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes_running import TalkingEdge, running_server
from releases import write_tiny_release

from reid.errors import ConfigError
from reid.release import Release
from server.api.serve import serve
from server.client import SearchClient
from server.errors import StorageError, UnreachableError
from server.settings import ServerSettings


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path, tiny_release: Release) -> None:
    with (
        running_server(tmp_path / "data", tiny_release),
        pytest.raises(StorageError, match="in use by another osprey-server"),
        running_server(tmp_path / "data", tiny_release),
    ):
        pass


def test_a_port_in_use_is_refused(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address:
        settings = ServerSettings(data=tmp_path / "other", listen=address)
        with pytest.raises(ConfigError, match=f"cannot listen on {address}"):
            run_briefly(settings, tiny_release)


def run_briefly(settings: ServerSettings, release: Release) -> None:
    asyncio.run(serve(settings, release, stop=asyncio.Event(), on_listening=lambda _: None))


def test_after_stopping_nobody_answers(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address:
        pass
    with pytest.raises(UnreachableError), SearchClient(address, timeout_s=2) as client:
        client.status()


def test_another_release_serves_its_own_space_beside_old_records(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release):
        pass
    newer = write_tiny_release(tmp_path / "newer", seed=1, version="2")
    with running_server(tmp_path / "data", newer) as address, TalkingEdge(address) as edge:
        assert "'tiny-2-1'" in edge.ending()[1]
