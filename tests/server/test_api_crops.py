from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from fakes_crop_edges import exchange_of, files_under, jpeg, observe, run, wanted
from fakes_stream import ServerParts

from protos import crops_pb2, crops_pb2_grpc
from reid.types import PROTOCOL_VERSION
from server.api.crops import CropServicer
from server.crops.exchange import CollectReport, CropExchange
from server.errors import AuthenticationError

Message = crops_pb2.ExchangeCropsRequest
HELLO = Message(hello=crops_pb2.CropHello(protocol_version=PROTOCOL_VERSION, edge_id="edge1", spool_id="spool1"))


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    observe(parts, [[1, 2, 3]])
    return parts


def with_server(
    site: ServerParts, use: Callable[[Any, CropExchange, CropServicer], Awaitable[Any]], *, hello_timeout_s: float = 2.0
) -> Any:
    """Serve over loopback; `use` gets a call that is open."""

    async def main() -> Any:
        exchange = exchange_of(site)
        servicer = CropServicer(exchange, hello_timeout_s=hello_timeout_s)
        server = grpc.aio.server()
        crops_pb2_grpc.add_CropServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await use(crops_pb2_grpc.CropServiceStub(channel).ExchangeCrops(), exchange, servicer)
        finally:
            servicer.stop()
            await server.stop(1)

    return run(main())


async def refusal(call: Any) -> str:
    """The status that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError):
        await _drain(call)
    return str((await call.code()).name)


async def _drain(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


def test_crops_travel_over_the_wire(site: ServerParts) -> None:
    async def use(call: Any, exchange: CropExchange, _: CropServicer) -> CollectReport:
        await call.write(HELLO)
        collecting = asyncio.create_task(exchange.collect(wanted(1, 2, 3), deadline_s=5))
        request = (await call.read()).request
        assert (request.spool_id, list(request.seqs)) == ("spool1", [1, 2, 3])
        for seq in (3, 1):
            await call.write(
                Message(
                    answer=crops_pb2.CropAnswer(
                        request_id=request.request_id, seq=seq, status=crops_pb2.CROP_STATUS_OK, jpeg=jpeg(seq)
                    )
                )
            )
        gone = crops_pb2.CropAnswer(request_id=request.request_id, seq=2, status=crops_pb2.CROP_STATUS_EXPIRED)
        await call.write(Message(answer=gone))
        return await collecting

    report = with_server(site, use)
    assert (report.num_received, report.reasons) == (2, {"expired": 1})
    assert files_under(site.data / "crops") == ["1.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (Message(answer=crops_pb2.CropAnswer()), "INVALID_ARGUMENT"),
        (Message(hello=crops_pb2.CropHello(protocol_version=99, edge_id="e", spool_id="s")), "FAILED_PRECONDITION"),
        (Message(hello=crops_pb2.CropHello(protocol_version=1, edge_id="../e", spool_id="s")), "INVALID_ARGUMENT"),
        (Message(hello=crops_pb2.CropHello(protocol_version=1, edge_id="e")), "INVALID_ARGUMENT"),
    ],
    ids=["no-hello", "version", "edge", "spool"],
)
def test_a_bad_hello_is_refused(site: ServerParts, first: Message, status: str) -> None:
    async def use(call: Any, *_: Any) -> str:
        await call.write(first)
        return await refusal(call)

    assert with_server(site, use) == status


def test_a_stream_without_a_hello_is_ended(site: ServerParts) -> None:
    async def use(call: Any, *_: Any) -> str:
        return await refusal(call)

    assert with_server(site, use, hello_timeout_s=0.1) == "INVALID_ARGUMENT"


def test_a_second_hello_breaks_the_rules(site: ServerParts) -> None:
    async def use(call: Any, *_: Any) -> str:
        await call.write(HELLO)
        await call.write(HELLO)
        return await refusal(call)

    assert with_server(site, use) == "INVALID_ARGUMENT"


def test_an_edge_that_hangs_up_is_gone(site: ServerParts) -> None:
    async def use(call: Any, exchange: CropExchange, servicer: CropServicer) -> None:
        await call.write(HELLO)
        while not servicer.callers():
            await asyncio.sleep(0.01)
        await call.done_writing()
        await refusal(call)
        assert (exchange.connected_edges(), servicer.callers()) == ([], {})

    with_server(site, use)


def test_a_revoked_edge_is_cut_off(site: ServerParts) -> None:
    async def use(call: Any, _: CropExchange, servicer: CropServicer) -> str:
        await call.write(HELLO)
        while not servicer.callers():
            await asyncio.sleep(0.01)
        servicer.end("edge1", AuthenticationError("revoked"))
        return await refusal(call)

    assert with_server(site, use) == "UNAUTHENTICATED"


def test_a_stopping_server_says_so(site: ServerParts) -> None:
    async def use(call: Any, _: CropExchange, servicer: CropServicer) -> str:
        await call.write(HELLO)
        while not servicer.callers():
            await asyncio.sleep(0.01)
        servicer.stop()
        return await refusal(call)

    assert with_server(site, use) == "UNAVAILABLE"
