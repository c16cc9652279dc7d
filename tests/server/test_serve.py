from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, hello, observation
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


def test_a_start_that_fails_late_takes_everything_down(tmp_path: Path, tiny_release: Release) -> None:
    def fail(_: str) -> None:
        raise OSError("no place for the port file")

    settings = ServerSettings(data=tmp_path / "data", listen="127.0.0.1:0")
    with pytest.raises(OSError, match="no place"):
        asyncio.run(serve(settings, tiny_release, stop=asyncio.Event(), on_listening=fail))
    with running_server(tmp_path / "data", tiny_release) as address, SearchClient(address) as client:
        assert client.status().totals.num_observations == 0


def test_calls_beyond_the_limit_are_refused_and_others_go_on(tmp_path: Path, tiny_release: Release) -> None:
    with (
        running_server(tmp_path / "data", tiny_release, max_calls=2) as address,
        TalkingEdge(address, hello("edge1")) as first,
        TalkingEdge(address, hello("edge2")) as second,
    ):
        first.welcome()
        second.welcome()
        with TalkingEdge(address, hello("edge3")) as third:
            assert third.ending()[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.send(batch_message(1, observation()))
        assert first.acknowledgement().acked_seq == 1


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
