"""Before any call: who is it, may they, and have they too many calls open. The only place that asks.

TLS has refused who has no certificate of the site's CA, or one that is over, by the time a call gets here; gRPC logs
those on stderr with their reason. What is refused here is logged with the caller's name and told to `on_refused`; so is
what the method itself refuses, such as the camera of another edge.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import structlog

from reid.errors import OspreyError
from server.api.errors import answering
from server.errors import AuthenticationError, BusyCallerError, ForbiddenError, SecurityError
from server.security.callers import Caller, Gate, set_caller

logger = structlog.get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler = Any
"""grpc's method handlers; its stubs do not type them."""
_ANSWERS = (
    ("unary_unary", False, grpc.unary_unary_rpc_method_handler),
    ("stream_unary", False, grpc.stream_unary_rpc_method_handler),
    ("unary_stream", True, grpc.unary_stream_rpc_method_handler),
    ("stream_stream", True, grpc.stream_stream_rpc_method_handler),
)
_REFUSALS = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
_T = TypeVar("_T")


class Authorization(grpc.aio.ServerInterceptor):
    """Wraps every method of the server.

    Args:
        gate: Who may come in.
        max_calls_per_caller: Calls that one caller may have open.
        on_refused: Told the caller, None if it is nobody's certificate, the method and the reason.
    """

    def __init__(
        self, gate: Gate, *, max_calls_per_caller: int, on_refused: Callable[[Caller | None, str, str], None]
    ) -> None:
        self._gate = gate
        self._max_calls_per_caller = max_calls_per_caller
        self._on_refused = on_refused
        self._open_calls: Counter[tuple[str, str]] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Put the questions before the method's own code."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        for name, is_streamed, make in _ANSWERS:
            behaviour = getattr(handler, name, None)
            if behaviour is not None:
                wrapped = self._streamed(behaviour, method) if is_streamed else self._single(behaviour, method)
                return make(
                    wrapped,
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
        raise AssertionError(f"{method} has no behaviour")

    def _single(self, behaviour: Callable[..., Awaitable[_T]], method: str) -> Callable[..., Awaitable[_T]]:
        async def answer(request: Any, context: _Context) -> _T:
            async with answering(context):
                with self._admitted(context, method) as caller, self._noting(caller, context, method):
                    return await behaviour(request, context)
            raise AssertionError("answering aborts")

        return answer

    def _streamed(self, behaviour: Callable[..., Any], method: str) -> Callable[..., AsyncIterator[Any]]:
        async def answer(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with answering(context):
                with self._admitted(context, method) as caller, self._noting(caller, context, method):
                    async for response in behaviour(request, context):
                        yield response

        return answer

    @contextmanager
    def _admitted(self, context: _Context, method: str) -> Iterator[Caller]:
        caller = self._admit(context, method)
        set_caller(caller)
        key = (caller.kind, caller.name)
        if self._open_calls[key] >= self._max_calls_per_caller:
            raise BusyCallerError(f"{caller.kind} {caller.name} has {self._open_calls[key]} calls open: end one first")
        self._open_calls[key] += 1
        try:
            yield caller
        finally:
            self._open_calls[key] -= 1
            if not self._open_calls[key]:
                del self._open_calls[key]

    @contextmanager
    def _noting(self, caller: Caller, context: _Context, method: str) -> Iterator[None]:
        """Tell when the method itself refuses the caller; it has logged that."""
        try:
            yield
        except grpc.aio.AbortError:
            if context.code() in _REFUSALS:
                self._on_refused(caller, method, context.details())
            raise

    def _admit(self, context: _Context, method: str) -> Caller:
        caller: Caller | None = None
        try:
            caller = self._gate.identify(_certificate(context))
            self._gate.admit(caller, _token(context))
            caller.check_method(method)
        except (AuthenticationError, ForbiddenError) as error:
            self._refuse(caller, context, method, error)
            raise
        return caller

    def _refuse(self, caller: Caller | None, context: _Context, method: str, error: OspreyError) -> None:
        who = f"{caller.kind} {caller.name}" if caller else "unknown"
        logger.warning("caller refused", caller=who, peer=context.peer(), method=method, reason=str(error))
        self._on_refused(caller, method, str(error))


async def watch_callers(
    gate: Gate,
    callers: Callable[[], dict[str, Caller]],
    end: Callable[[str, AuthenticationError], None],
    *,
    every_s: float,
) -> None:
    """End the streams of callers who were revoked, or whose certificate ended, meanwhile. Runs until cancelled.

    Args:
        gate: Who may stay.
        callers: Those with an open stream, by a name for it.
        end: Ends such a stream with an error.
        every_s: Between two looks.
    """
    while True:
        await asyncio.sleep(every_s)
        try:
            for name, caller in callers().items():
                try:
                    gate.check(caller)
                except AuthenticationError as error:
                    logger.warning("stream ended", edge_id=name, reason=str(error))
                    end(name, error)
        except SecurityError as error:  # nobody new is admitted meanwhile either
            logger.error("who is enrolled cannot be checked", error=str(error))


def _certificate(context: _Context) -> bytes:
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return bytes(pem)
    raise AuthenticationError("a call without a certificate: give the credentials that 'osprey-server enroll' made")


def _token(context: _Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ")
    return ""
