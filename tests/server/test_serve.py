from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, hello, observation
from releases import write_tiny_release

from benchmarks.instruments.postgresql import Postgresql
from reid.errors import ConfigError
from reid.release import Release
from server.api import serve as serve_module
from server.api.serve import serve
from server.client import SearchClient
from server.errors import LeaseLostError, StorageError, UnreachableError
from server.settings import ServerSettings
from server.storage.database import StorageSettings, open_database
from server.storage.lease import Lease


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path, tiny_release: Release) -> None:
    with (
        running_server(tmp_path / "data", tiny_release),
        pytest.raises(StorageError, match="in use by another osprey-server"),
        running_server(tmp_path / "data", tiny_release),
    ):
        pass


def test_two_servers_never_share_a_database(tmp_path: Path, tiny_release: Release, postgresql: Postgresql) -> None:
    storage = StorageSettings(url=postgresql.new_database(), lease_s=1)
    with (
        running_server(tmp_path / "one", tiny_release, storage=storage),
        pytest.raises(StorageError, match=r"in use by the server .*/one: stop it"),
        running_server(tmp_path / "two", tiny_release, storage=storage),
    ):
        pass


def test_a_server_whose_records_were_taken_over_ends(tmp_path: Path, tiny_release: Release) -> None:
    settings = ServerSettings(data=tmp_path, listen="127.0.0.1:0", insecure=True, storage=StorageSettings(lease_s=1))
    engine = open_database(settings.storage, data=tmp_path)

    def take_over(_: str) -> None:
        Lease(engine, holder="other", duration_s=1, clock_us=lambda: 1 << 60).take()

    with pytest.raises(LeaseLostError, match="another server took over"):
        asyncio.run(serve(settings, tiny_release, stop=asyncio.Event(), on_listening=take_over))
    engine.dispose()


def test_a_port_in_use_is_refused(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address:
        settings = ServerSettings(data=tmp_path / "other", listen=address, insecure=True)
        with pytest.raises(ConfigError, match=f"cannot listen on {address}"):
            run_briefly(settings, tiny_release)


def run_briefly(settings: ServerSettings, release: Release) -> None:
    asyncio.run(serve(settings, release, stop=asyncio.Event(), on_listening=lambda _: None))


def test_a_start_that_fails_late_takes_everything_down(tmp_path: Path, tiny_release: Release) -> None:
    def fail(_: str) -> None:
        raise OSError("no place for the port file")

    settings = ServerSettings(data=tmp_path / "data", listen="127.0.0.1:0", insecure=True)
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


def test_an_edge_that_only_pings_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_module, "_EDGE_PING_S", 0.1)

    async def wait(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield b"there"

    async def run() -> None:
        server = grpc.aio.server(options=serve_module._keepalive(30.0))
        handler = grpc.stream_stream_rpc_method_handler(wait)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", {"Wait": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        pings = [("grpc.keepalive_time_ms", 1000), ("grpc.http2.max_pings_without_data", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=pings) as channel:
            call = channel.stream_stream("/test.Test/Wait")()
            await call.write(b"hello")
            assert await call.read() == b"there"
            with pytest.raises(asyncio.TimeoutError):  # a server that counts pings ends the call after the fifth
                await asyncio.wait_for(call.read(), 7.0)
        await server.stop(None)

    asyncio.run(run())
