"""Who owns the records: a lease with a token that fences off whoever held it before.

One row says who holds the records, with which token, and until when. Each new holder takes the next token, and every
change checks, in its own transaction, that its token is still the last one: a server that was cut off, frozen or
restored from an old image can write nothing once another took over, whatever its clock says. The time in the lease only
decides when others may try. A change renews the lease, so that a busy server pays no transaction for it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine, or_, select, update

from server.errors import LeaseLostError, StorageError
from server.storage.database import explained
from server.storage.schema import lease as lease_table

logger = structlog.get_logger(__name__)

_POLL_S = 0.2
_RENEWALS = 3
"""Renewals within one lease."""


class Lease:
    """The right to change the records, once `take` succeeded.

    Args:
        engine: Made by `open_database`.
        holder: Who asks. The same name may take its own lease at once, as after a crash: it must not run twice.
        duration_s: How long the lease runs without renewal.
        clock_us: Microseconds since the Unix epoch.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        holder: str,
        duration_s: float,
        clock_us: Callable[[], int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.holder = holder
        self._engine = engine
        self._duration_s = duration_s
        self._clock_us = clock_us
        self._sleep = sleep
        self._token = -1  # nobody's

    def take(self) -> None:
        """Become the owner, waiting for the lease of a server that shows no sign of life any more.

        Raises:
            StorageError: Another server owns the records and is alive.
        """
        give_up_us = self._clock_us() + int(1.5 * self._duration_s * 1e6)
        is_waiting = False
        while not self._try():
            if self._clock_us() > give_up_us:
                raise StorageError(
                    f"records at {self._engine.url} are in use by the server {self._read_holder()}: "
                    "stop it, or use another database"
                )
            if not is_waiting:
                logger.info("waiting for the lease of the records", holder=self._read_holder())
                is_waiting = True
            self._sleep(_POLL_S)
        logger.info("lease taken", holder=self.holder, token=self._token)

    def check(self, connection: Connection) -> None:
        """Renew the lease within a transaction, and keep others from taking it until that ends.

        Raises:
            LeaseLostError: Another server took over. The transaction must be rolled back.
        """
        mine = update(lease_table).where(lease_table.c.token == self._token)
        if connection.execute(mine.values(expires_us=self._expiry_us())).rowcount:
            return
        raise LeaseLostError(
            f"nothing was written: another server took over the records, with lease {self._stored_token(connection)} "
            f"after lease {self._token} of this one. Two servers must not share a database: stop one of them"
        )

    @explained
    def renew(self) -> None:
        """Renew the lease in a transaction of its own.

        Raises:
            LeaseLostError: Another server took over.
            StorageError: The database cannot be reached; the lease may still be ours.
        """
        with self._engine.begin() as connection:
            self.check(connection)

    @explained
    def release(self) -> None:
        """Let others take the records at once; nothing happens if they already did."""
        with self._engine.begin() as connection:
            connection.execute(update(lease_table).where(lease_table.c.token == self._token).values(expires_us=0))

    async def keep(self) -> None:
        """Renew the lease for ever.

        Raises:
            LeaseLostError: Another server took over.
        """
        while True:
            await asyncio.sleep(self._duration_s / _RENEWALS)
            try:
                await asyncio.to_thread(self.renew)
            except LeaseLostError:
                raise
            except StorageError as error:
                logger.warning("lease not renewed", error=str(error))

    @explained
    def _try(self) -> bool:
        can_take = or_(lease_table.c.expires_us <= self._clock_us(), lease_table.c.holder == self.holder)
        values = {"holder": self.holder, "token": lease_table.c.token + 1, "expires_us": self._expiry_us()}
        with self._engine.begin() as connection:
            is_taken = connection.execute(update(lease_table).where(can_take).values(values)).rowcount == 1
            if is_taken:
                self._token = self._stored_token(connection)
        return is_taken

    @explained
    def _read_holder(self) -> str:
        with self._engine.connect() as connection:
            return str(connection.scalar(select(lease_table.c.holder)))

    def _stored_token(self, connection: Connection) -> int:
        return int(connection.execute(select(lease_table.c.token)).scalar_one())

    def _expiry_us(self) -> int:
        return self._clock_us() + int(self._duration_s * 1e6)


@contextmanager
def owned_change(engine: Engine, lease: Lease | None) -> Iterator[Connection]:
    """A transaction that is rolled back when another server took over; without a lease nobody else may write here.

    Raises:
        LeaseLostError: Another server did.
    """
    with engine.begin() as connection:
        if lease is not None:
            lease.check(connection)
        yield connection


def holder_name(data: Path) -> str:
    """Names the one server that can own a data folder: host and folder."""
    return f"{socket.gethostname()}:{data.resolve()}"
