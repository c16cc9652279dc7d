"""What callers looked at, in the audit log before they are answered: who, what and when, never the picture."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from reid.errors import OspreyError
from server.errors import StorageError
from server.security.callers import current_actor
from server.storage.records import AuditEntry


class AuditTrail:
    """Notes questions.

    Args:
        append: Adds to the audit log.
        submit: Runs that between two steps of the writer, which otherwise would wait for the database's lock.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        append: Callable[[AuditEntry], None],
        submit: Callable[[Callable[[], None]], Awaitable[None]],
        clock_us: Callable[[], int],
    ) -> None:
        self._append = append
        self._submit = submit
        self._clock_us = clock_us

    @asynccontextmanager
    async def noted(self, what: str, subject: str) -> AsyncIterator[None]:
        """Note a question of the current caller when the block ends, and how it ended.

        Raises:
            StorageError: It cannot be noted, so that it must not be answered.
        """
        try:
            yield
        except OspreyError as error:
            await self._note(what, subject, str(error))
            raise
        await self._note(what, subject, "done")

    async def _note(self, what: str, subject: str, outcome: str) -> None:
        entry = AuditEntry(time_us=self._clock_us(), actor=current_actor(), what=what, subject=subject, outcome=outcome)
        try:
            await self._submit(partial(self._append, entry))
        except StorageError as error:
            raise StorageError(f"a {what} is answered only when it stands in the audit log, and {error}") from None
