"""Keeps the signatures of the repository fresh while the server runs."""

from __future__ import annotations

import asyncio

import structlog

from reid.errors import OspreyError
from server.releases.repository import ReleaseRepository

logger = structlog.get_logger(__name__)


async def keep_signed(repository: ReleaseRepository, *, every_s: float) -> None:
    """Sign again what ends soon, for ever; a warning that only an operator can settle is logged once.

    Args:
        repository: Made before.
        every_s: Between two looks.
    """
    warned = ""
    while True:
        try:
            renewed = await asyncio.to_thread(repository.renew)
            if renewed:
                logger.info("signatures renewed", roles=",".join(renewed))
            warning = await asyncio.to_thread(repository.warning)
            if warning and warning != warned:
                logger.warning(warning)
            warned = warning
        except (OspreyError, OSError) as error:
            logger.error("signatures not renewed: edges take no updates once they end", error=str(error))
        await asyncio.sleep(every_s)
