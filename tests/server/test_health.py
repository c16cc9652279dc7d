from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from fakes_running import running_server
from fakes_stream import ServerParts, batch, observation
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from reid.release import Release
from server.api.health import HealthReporter
from server.writer import Writer, WriterSettings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_running_server_serves(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address, grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "osprey.v1.IngestService", "osprey.v1.SearchService", "osprey.v1.IdentityService"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == SERVING


def test_reflection_names_the_services(tmp_path: Path, tiny_release: Release) -> None:
    with running_server(tmp_path / "data", tiny_release) as address, grpc.insecure_channel(address) as channel:
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=5)
    names = {service.name for service in answer.list_services_response.service}
    services = {f"osprey.v1.{name}Service" for name in ("Ingest", "Search", "Identity")}
    assert services | {"grpc.health.v1.Health"} <= names


def test_health_follows_the_writer() -> None:
    states = [False]

    async def scenario() -> list[list[int]]:
        server = grpc.aio.server()
        reporter = HealthReporter(server, lambda: states[-1], services=["ingest", "search"])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await reporter.start()
        seen = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for is_failing in (True, False):
                states.append(is_failing)
                await reporter.step()
                requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", "ingest", "search")]
                seen.append([(await stub.Check(request)).status for request in requests])
        await server.stop(None)
        return seen

    assert asyncio.run(scenario()) == [[NOT_SERVING] * 3, [SERVING] * 3]


def test_a_failed_step_makes_the_writer_failing_until_one_succeeds(parts: ServerParts) -> None:
    async def scenario() -> list[bool]:
        writer = Writer(parts.ingest, WriterSettings())
        running = asyncio.create_task(writer.run())
        parts.records.num_failures = 1
        seen = []
        for _ in range(2):
            done = await writer.open_feed().submit(batch(1, observation()))
            await asyncio.wait([done])
            seen.append(writer.is_failing)
        await writer.close()
        await running
        assert writer.counts.failures == 1
        return seen

    assert asyncio.run(scenario()) == [True, False]


def test_an_old_failure_is_no_news(parts: ServerParts, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(parts.ingest, WriterSettings())
    writer.counts.failed_at_s = 100.0
    monkeypatch.setattr("server.writer.time.monotonic", lambda: 200.0)
    assert not writer.is_failing
