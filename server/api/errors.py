"""What a caller is told: one table from exceptions to gRPC status.

A gRPC status travels in a header, and peers drop headers beyond some kilobytes together with the status in them: texts
that repeat what a caller sent are cut.

Worth another try: UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED; everything else will fail again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from reid.errors import BoxError, ConfigError, EmbeddingError, ImageError, ObservationError, OspreyError, ReleaseError
from server.errors import (
    AuthenticationError,
    BusyCallerError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    SecurityError,
    SpaceError,
    StoppingError,
    StorageError,
    StreamReplacedError,
    VersionError,
    WindowError,
)

logger = structlog.get_logger(__name__)

_MOST_CHARACTERS = 600
"""Of an answer's text; gRPC escapes one character to as many as twelve bytes, and 8 KiB always fit."""

STATUS_OF: dict[type[OspreyError], grpc.StatusCode] = {
    AuthenticationError: grpc.StatusCode.UNAUTHENTICATED,
    BoxError: grpc.StatusCode.INVALID_ARGUMENT,
    BusyCallerError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    EmbeddingError: grpc.StatusCode.INVALID_ARGUMENT,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    ImageError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ObservationError: grpc.StatusCode.INVALID_ARGUMENT,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    ReleaseError: grpc.StatusCode.FAILED_PRECONDITION,
    SecurityError: grpc.StatusCode.UNAVAILABLE,
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


def shortened(text: str) -> str:
    """The text, its middle left out if it is too long to be sent."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]} … {text[-half:]}"


@asynccontextmanager
async def answering(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Answer a call with the status of whatever goes wrong in it. Our own mistakes are logged, not shown."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.BaseError):
        raise  # gRPC's own: the call was ended, or nobody is there any more
    except OspreyError as error:
        status, text = status_of(error), shortened(str(error))
        log = logger.warning if status is grpc.StatusCode.PERMISSION_DENIED else logger.info
        log("call refused", peer=context.peer(), status=status.name, error=text)
        await context.abort(status, text)
    except Exception:
        logger.exception("a call failed")
        await context.abort(grpc.StatusCode.INTERNAL, "the server failed on this call; its log says why")
