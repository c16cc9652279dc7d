from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from reid.errors import OspreyError
from server.api.errors import STATUS_OF, answering, status_of
from server.errors import StorageError, VersionError


class Context:
    """Keeps what a call was answered with."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.answer = code, details
        raise grpc.aio.AbortError


def answer_to(error: Exception) -> tuple[grpc.StatusCode, str]:
    context: Any = Context()

    async def call() -> None:
        async with answering(context):
            raise error

    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(call())
    answer: tuple[grpc.StatusCode, str] = context.answer
    return answer


def test_an_error_is_answered_with_its_status_and_text() -> None:
    assert answer_to(StorageError("disk full")) == (grpc.StatusCode.UNAVAILABLE, "disk full")


def test_the_nearest_class_decides() -> None:
    assert status_of(VersionError("x")) is grpc.StatusCode.FAILED_PRECONDITION
    assert status_of(type("Sub", (StorageError,), {})("x")) is grpc.StatusCode.UNAVAILABLE
    assert status_of(type("Unlisted", (OspreyError,), {})("x")) is grpc.StatusCode.INTERNAL


def test_a_text_that_repeats_a_large_request_is_cut_to_what_a_header_holds() -> None:
    code, details = answer_to(VersionError("edge '" + "😀" * 100_000 + "': update it"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert details.startswith("edge '😀")
    assert details.endswith("😀': update it")
    assert len(quote(details)) < 8192


def test_our_own_mistakes_are_not_shown() -> None:
    code, details = answer_to(ZeroDivisionError("secret"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details


def test_cancelled_calls_are_left_alone() -> None:
    async def call() -> None:
        async with answering(Context()):  # type: ignore[arg-type]
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())


def test_every_error_of_the_table_is_one_of_ours() -> None:
    assert all(issubclass(kind, OspreyError) for kind in STATUS_OF)


def test_a_caller_who_hung_up_is_nobodys_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(Context):
        async def abort(self, code: grpc.StatusCode, details: str) -> None:
            raise grpc.aio.InternalError("Failed execute_batch")

    context: Any = Gone()

    async def call() -> None:
        async with answering(context), answering(context):
            raise StorageError("disk full")

    with pytest.raises(grpc.aio.InternalError):
        asyncio.run(call())
    assert "a call failed" not in capsys.readouterr().out
