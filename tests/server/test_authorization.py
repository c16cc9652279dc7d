from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from fakes_site import enroll, make_site

from reid.channel import open_channel
from reid.credentials import Credentials, CredentialsKind
from reid.errors import OspreyError
from server.api.door import TlsDoor
from server.security.callers import Caller, current_actor
from server.settings import ServerSettings
from server.storage.records import AuditEntry

METHOD = "/osprey.v1.IdentityService/MergePersons"


class NoStreams:
    """Stands for the ingestion service."""

    def callers(self) -> dict[str, Caller]:
        return {}

    def end(self, edge_id: str, error: OspreyError) -> None:
        raise AssertionError(f"{edge_id} has no stream")


async def merge(request: bytes, context: Any) -> bytes:
    """Answers who asks."""
    return "{0.role} {0.name}".format(current_actor()).encode()


async def call(data: Path, credentials: Credentials, audit: list[AuditEntry]) -> bytes:
    """Serve one method over TLS, and call it."""
    door = TlsDoor(ServerSettings(data=data), audit.append)
    server = grpc.aio.server(interceptors=door.interceptors)
    service, _, name = METHOD[1:].partition("/")
    handler = grpc.method_handlers_generic_handler(service, {name: grpc.unary_unary_rpc_method_handler(merge)})
    server.add_generic_rpc_handlers((handler,))
    port = door.listen(server, "127.0.0.1:0")
    await server.start()
    watching = asyncio.create_task(door.watch(NoStreams()))  # type: ignore[arg-type]
    try:
        with open_channel(f"127.0.0.1:{port}", credentials) as channel:
            answer: bytes = await asyncio.to_thread(channel.unary_unary(METHOD), b"", timeout=5)
        return answer
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await server.stop(0)


def test_an_operator_merges_under_their_name(tmp_path: Path) -> None:
    made = enroll(make_site(tmp_path), "operator", "ann")
    assert asyncio.run(call(tmp_path, made, [])) == b"operator ann"


@pytest.mark.parametrize("kind", ["viewer", "edge"])
def test_who_may_not_merge_is_refused_and_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: CredentialsKind
) -> None:
    made = enroll(make_site(tmp_path), kind, "vic", *(["cam1"] if kind == "edge" else []))
    audit: list[AuditEntry] = []
    role = "system" if kind == "edge" else kind
    with pytest.raises(grpc.RpcError) as refused:
        asyncio.run(call(tmp_path, made, audit))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert f"{kind} vic may not call MergePersons" in "".join(capfd.readouterr())
    assert [(entry.actor, entry.what) for entry in audit] == [(("vic", role), "MergePersons")]
