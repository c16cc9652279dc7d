"""Makes edges delete the crops of erased persons: as soon as they are there, and until they have said that it is done.

No budget counts this, and no collection waits for it: such requests go down between those for crops, one at a time. An
edge that does not answer is told again on its next connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol
from uuid import uuid4

import structlog

from reid.errors import OspreyError
from server.crops.answers import CropRequest, OpenForgetting
from server.crops.line import EdgeLine
from server.errors import StoppingError
from server.types import CropName, Spool

logger = structlog.get_logger(__name__)

_MOST_SEQS = 1024
"""In one request; edges take no more."""
_LOOK_S = 60.0
"""Erasures are looked for so often even if nobody tells of any: the records may have failed before."""


class ErasureKeeper(Protocol):
    """Remembers what is to be forgotten, as `CropStore` does it. `note_forgotten` runs in the writer's thread."""

    def to_forget(self, spool_key: int, limit: int) -> list[int]:
        """Sequence numbers of crops of a spool that its edge has not deleted yet."""

    def note_forgotten(self, names: Sequence[CropName]) -> list[CropName]:
        """The edge has deleted them; gives those that it was still to delete."""


class Forgetting:
    """Tells edges which crops to delete.

    Args:
        store: Remembers which.
        spools: Names of spools by key.
        submit: Runs something in the writer's thread.
    """

    def __init__(
        self,
        store: ErasureKeeper,
        *,
        spools: Callable[[], Mapping[int, Spool]],
        submit: Callable[[Callable[[], list[CropName]]], Awaitable[list[CropName]]],
    ) -> None:
        self._store = store
        self._spools = spools
        self._submit = submit

    async def serve(self, line: EdgeLine) -> None:
        """Tell one edge, until its line ends."""
        while not line.is_ended:
            line.settle()
            try:
                is_done = not await self._tell(line)
            except StoppingError:
                return
            except OspreyError as error:
                logger.warning("an edge still has crops of the erased", edge_id=line.edge_id, error=str(error))
                is_done = True
            if is_done:
                await line.stirred(_LOOK_S)

    async def _tell(self, line: EdgeLine) -> bool:
        """Tell of some crops; returns whether there were any."""
        spool = Spool(line.edge_id, line.spool_id)
        spool_key = next((key for key, known in self._spools().items() if known == spool), None)
        if spool_key is None:  # nothing of it was ever stored
            return False
        seqs = await asyncio.to_thread(self._store.to_forget, spool_key, _MOST_SEQS)
        if not seqs:
            return False
        request = CropRequest(
            request_id=uuid4().hex, spool_id=line.spool_id, seqs=(), max_bytes=0, forget_seqs=tuple(seqs)
        )
        asked = OpenForgetting(request)
        await line.forget(asked)
        names = [CropName(spool_key, seq) for seq in sorted(asked.forgotten)]
        if names:
            await self._submit(partial(self._store.note_forgotten, names))
            logger.info("an edge has deleted crops of the erased", edge_id=line.edge_id, crops=len(names))
        return True
