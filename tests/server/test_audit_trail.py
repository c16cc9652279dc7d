from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from reid.errors import ImageError
from server.audit_trail import AuditTrail
from server.errors import StorageError
from server.security.callers import Caller, set_caller
from server.storage.records import AuditEntry
from server.types import Actor


class Log:
    """An audit log that can be full."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.entries: list[AuditEntry] = []
        self._is_full = is_full

    def append(self, entry: AuditEntry) -> None:
        if self._is_full:
            raise StorageError("the disk is full")
        self.entries.append(entry)


async def at_once(operation: Callable[[], None]) -> None:
    operation()


async def ask(log: Log, error: Exception | None = None) -> str:
    """The viewer vic searches."""
    set_caller(Caller(kind="viewer", name="vic"))
    async with AuditTrail(log.append, at_once, lambda: 7).noted("search", "image of 3 bytes"):
        if error:
            raise error
    return "answered"


def test_a_question_is_noted_with_who_what_and_when() -> None:
    log = Log()
    assert asyncio.run(ask(log)) == "answered"
    assert log.entries == [
        AuditEntry(time_us=7, actor=Actor("vic", "viewer"), what="search", subject="image of 3 bytes", outcome="done")
    ]


def test_a_question_that_failed_is_noted_with_its_reason() -> None:
    log = Log()
    with pytest.raises(ImageError):
        asyncio.run(ask(log, ImageError("no picture")))
    assert [entry.outcome for entry in log.entries] == ["no picture"]


def test_what_cannot_be_noted_is_not_answered() -> None:
    with pytest.raises(StorageError, match="answered only when it stands in the audit log, and the disk is full"):
        asyncio.run(ask(Log(is_full=True)))
