"""Pictures of persons: crops that the server has, at `/crops/{spool_key}/{seq}.jpg`.

The address holds keys of rows. It is for the pages of this console only, and no name to keep.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from server.errors import NotFoundError
from server.types import CropName
from server.web.access import Viewer
from server.web.console import Console

_LARGEST = (1 << 63) - 1
_Key = Annotated[int, Path(ge=0, le=_LARGEST)]


def crop_url(name: CropName) -> str:
    """Address of a crop within the console."""
    return f"/crops/{name.spool_key}/{name.seq}.jpg"


def routes(console: Console) -> APIRouter:
    """Crops of a console."""
    router = APIRouter()

    @router.get("/crops/{spool_key}/{seq}.jpg")
    async def crop(viewer: Viewer, spool_key: _Key, seq: _Key) -> Response:
        """A crop; rows are the truth, so that what was erased is not found although its file may go later."""
        return Response(await asyncio.to_thread(_read, console, CropName(spool_key, seq)), media_type="image/jpeg")

    return router


def _read(console: Console, name: CropName) -> bytes:
    try:
        if name in console.store.known([name]):
            return console.store.path_of(name).read_bytes()
    except FileNotFoundError:
        pass
    raise NotFoundError("this crop is no longer here: it was deleted, or made room for newer ones")
