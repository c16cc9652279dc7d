"""What a caller is told: one table from exceptions to gRPC status.

Worth another try: UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED; everything else will fail again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from reid.errors import BoxError, ConfigError, EmbeddingError, ImageError, ObservationError, OspreyError
from server.errors import (
    NotFoundError,
    ProtocolError,
    SpaceError,
    StoppingError,
    StorageError,
    StreamReplacedError,
    VersionError,
    WindowError,
)

logger = structlog.get_logger(__name__)

STATUS_OF: dict[type[OspreyError], grpc.StatusCode] = {
    BoxError: grpc.StatusCode.INVALID_ARGUMENT,
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    EmbeddingError: grpc.StatusCode.INVALID_ARGUMENT,
    ImageError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ObservationError: grpc.StatusCode.INVALID_ARGUMENT,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    SpaceError: grpc.StatusCode.FAILED_PRECONDITION,
    StoppingError: grpc.StatusCode.UNAVAILABLE,
    StorageError: grpc.StatusCode.UNAVAILABLE,
    StreamReplacedError: grpc.StatusCode.ABORTED,
    VersionError: grpc.StatusCode.FAILED_PRECONDITION,
    WindowError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def status_of(error: OspreyError) -> grpc.StatusCode:
    """Status for an error: that of its nearest class in the table, INTERNAL if there is none."""
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), grpc.StatusCode.INTERNAL)


@asynccontextmanager
async def answering(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Answer a call with the status of whatever goes wrong in it. Our own mistakes are logged, not shown."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except OspreyError as error:
        await context.abort(status_of(error), str(error))
    except Exception:
        logger.exception("a call failed")
        await context.abort(grpc.StatusCode.INTERNAL, "the server failed on this call; its log says why")
