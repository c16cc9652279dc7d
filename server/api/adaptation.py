"""The adaptation service: operators begin, stop and resume runs, and see how they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from protos import adaptation_pb2, adaptation_pb2_grpc
from server.adaptation.book import RunBook
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import AdaptationLoop
from server.adaptation.run import AdaptationRun
from server.adaptation.view import RunView, view_of
from server.api.adaptation_messages import run_to_proto
from server.api.errors import answering
from server.errors import ProtocolError
from server.security.callers import current_actor

_DEFAULT_PAGE = 20
_MOST_PAGE = 200
_Context = grpc.aio.ServicerContext[Any, Any]


class AdaptationServicer(adaptation_pb2_grpc.AdaptationServiceServicer):
    """Serves `osprey.v1.AdaptationService`.

    Args:
        loop: Carries out what operators ask for.
        book: All runs.
        folder: That of a run, by its number.
    """

    def __init__(self, loop: AdaptationLoop, book: RunBook, folder: Callable[[int], AdaptationFolder]) -> None:
        self._loop = loop
        self._book = book
        self._folder = folder

    async def StartAdaptation(  # noqa: N802 (the name in the proto)
        self, request: adaptation_pb2.StartAdaptationRequest, context: _Context
    ) -> adaptation_pb2.StartAdaptationResponse:
        """See adaptation.proto."""
        async with answering(context):
            run = await self._loop.start(current_actor())
            return adaptation_pb2.StartAdaptationResponse(run=await self._told(run))

    async def StopAdaptation(  # noqa: N802
        self, request: adaptation_pb2.StopAdaptationRequest, context: _Context
    ) -> adaptation_pb2.StopAdaptationResponse:
        """See adaptation.proto."""
        async with answering(context):
            run = await self._loop.stop(_checked_key(request.run_key), current_actor())
            return adaptation_pb2.StopAdaptationResponse(run=await self._told(run))

    async def ResumeAdaptation(  # noqa: N802
        self, request: adaptation_pb2.ResumeAdaptationRequest, context: _Context
    ) -> adaptation_pb2.ResumeAdaptationResponse:
        """See adaptation.proto."""
        async with answering(context):
            run = await self._loop.resume(_checked_key(request.run_key), current_actor())
            return adaptation_pb2.ResumeAdaptationResponse(run=await self._told(run))

    async def ListAdaptations(  # noqa: N802
        self, request: adaptation_pb2.ListAdaptationsRequest, context: _Context
    ) -> adaptation_pb2.ListAdaptationsResponse:
        """See adaptation.proto."""
        async with answering(context):
            limit = min(request.page_size or _DEFAULT_PAGE, _MOST_PAGE)
            before = _checked_key(request.before_run_key)
            runs = await asyncio.to_thread(self._book.page, limit, before=before)
            messages = [run_to_proto(RunView(run=run)) for run in runs]
            return adaptation_pb2.ListAdaptationsResponse(runs=messages)

    async def GetAdaptation(  # noqa: N802
        self, request: adaptation_pb2.GetAdaptationRequest, context: _Context
    ) -> adaptation_pb2.GetAdaptationResponse:
        """See adaptation.proto."""
        async with answering(context):
            run = await asyncio.to_thread(self._book.find, _checked_key(request.run_key))
            return adaptation_pb2.GetAdaptationResponse(run=await self._told(run))

    async def _told(self, run: AdaptationRun) -> adaptation_pb2.AdaptationRun:
        return run_to_proto(await asyncio.to_thread(view_of, run, self._folder(run.run_key)))


def _checked_key(run_key: int) -> int:
    """A run's number; 0 for the latest.

    Raises:
        ProtocolError: It is less.
    """
    if run_key < 0:
        raise ProtocolError(f"run_key {run_key}: wanted a run's number, or 0 for the latest")
    return run_key
