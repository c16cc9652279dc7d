"""The release service: operators see releases and roll-outs, bring releases in, and start, hold and end roll-outs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from protos import releases_pb2, releases_pb2_grpc
from reid.types import ReleaseRef
from server.api.errors import answering
from server.api.release_messages import registered_to_proto, rollout_to_proto
from server.errors import NotFoundError, ProtocolError
from server.releases.fleet import FleetBook
from server.releases.inbox import ReleaseInbox
from server.releases.ledger import RolloutLedger
from server.releases.registry import ReleaseRegistry
from server.releases.roller import Roller
from server.releases.rollout import Rollout
from server.releases.view import view_of
from server.security.callers import current_actor
from server.storage.records import AuditEntry

_Context = grpc.aio.ServicerContext[Any, Any]
_LONGEST_REASON = 300


class ReleaseServicer(releases_pb2_grpc.ReleaseServiceServicer):
    """Serves `osprey.v1.ReleaseService`.

    Args:
        registry: The releases.
        inbox: Takes in others.
        roller: Carries out roll-outs.
        ledger: All roll-outs.
        book: What the edges say.
        append_audit: Adds to the audit log; called in a thread.
    """

    def __init__(
        self,
        registry: ReleaseRegistry,
        inbox: ReleaseInbox,
        roller: Roller,
        ledger: RolloutLedger,
        book: FleetBook,
        append_audit: Callable[[AuditEntry], None],
    ) -> None:
        self._registry = registry
        self._inbox = inbox
        self._roller = roller
        self._ledger = ledger
        self._book = book
        self._append_audit = append_audit

    async def ListReleases(  # noqa: N802 (the name in the proto)
        self, request: releases_pb2.ListReleasesRequest, context: _Context
    ) -> releases_pb2.ListReleasesResponse:
        """See releases.proto."""
        async with answering(context):
            found = await asyncio.to_thread(self._registry.list)
            return releases_pb2.ListReleasesResponse(releases=map(registered_to_proto, found))

    async def GetRelease(  # noqa: N802
        self, request: releases_pb2.GetReleaseRequest, context: _Context
    ) -> releases_pb2.GetReleaseResponse:
        """See releases.proto."""
        async with answering(context):
            found = await asyncio.to_thread(self._registry.get, request.space)
            return releases_pb2.GetReleaseResponse(release=registered_to_proto(found))

    async def ImportRelease(  # noqa: N802
        self, request_iterator: AsyncIterator[releases_pb2.ImportReleaseRequest], context: _Context
    ) -> releases_pb2.ImportReleaseResponse:
        """See releases.proto."""
        async with answering(context):
            actor, force = current_actor(), False
            with self._inbox.receive() as parcel:
                async for request in request_iterator:
                    force = force or request.force
                    if request.file or request.chunk:
                        await asyncio.to_thread(parcel.add, request.file, request.chunk)
                known = await self._inbox.register(parcel.folder, actor, force=force)
            entry = AuditEntry(
                time_us=time.time_ns() // 1000,
                actor=actor,
                what="import release" + (" by force" if force else ""),
                subject=known.ref.space,
                outcome=known.state,
            )
            await asyncio.to_thread(self._append_audit, entry)
            return releases_pb2.ImportReleaseResponse(release=registered_to_proto(known))

    async def StartRollout(  # noqa: N802
        self, request: releases_pb2.StartRolloutRequest, context: _Context
    ) -> releases_pb2.StartRolloutResponse:
        """See releases.proto."""
        async with answering(context):
            rollout = await self._roller.start(request.space, current_actor(), force=request.force)
            return releases_pb2.StartRolloutResponse(rollout=await self._shown(rollout))

    async def PauseRollout(  # noqa: N802
        self, request: releases_pb2.PauseRolloutRequest, context: _Context
    ) -> releases_pb2.PauseRolloutResponse:
        """See releases.proto."""
        async with answering(context):
            rollout = await self._roller.pause(current_actor())
            return releases_pb2.PauseRolloutResponse(rollout=await self._shown(rollout))

    async def ResumeRollout(  # noqa: N802
        self, request: releases_pb2.ResumeRolloutRequest, context: _Context
    ) -> releases_pb2.ResumeRolloutResponse:
        """See releases.proto."""
        async with answering(context):
            rollout = await self._roller.resume(current_actor())
            return releases_pb2.ResumeRolloutResponse(rollout=await self._shown(rollout))

    async def AbortRollout(  # noqa: N802
        self, request: releases_pb2.AbortRolloutRequest, context: _Context
    ) -> releases_pb2.AbortRolloutResponse:
        """See releases.proto."""
        async with answering(context):
            if len(request.reason) > _LONGEST_REASON:
                raise ProtocolError(f"a reason of {len(request.reason)} characters, wanted {_LONGEST_REASON} at most")
            rollout = await self._roller.abort(request.reason, current_actor())
            return releases_pb2.AbortRolloutResponse(rollout=await self._shown(rollout))

    async def GetRollout(  # noqa: N802
        self, request: releases_pb2.GetRolloutRequest, context: _Context
    ) -> releases_pb2.GetRolloutResponse:
        """See releases.proto."""
        async with answering(context):
            latest = self._roller.latest
            if request.rollout_key and (latest is None or latest.rollout_key != request.rollout_key):
                latest = await asyncio.to_thread(self._ledger.get, request.rollout_key)
            if latest is None:
                raise NotFoundError("there was no roll-out yet: 'osprey-server rollout start SPACE' begins one")
            return releases_pb2.GetRolloutResponse(rollout=await self._shown(latest))

    async def _shown(self, rollout: Rollout) -> releases_pb2.Rollout:
        return await asyncio.to_thread(lambda: rollout_to_proto(view_of(rollout, self._book, self._ref_of)))

    def _ref_of(self, space: str) -> ReleaseRef:
        return self._registry.get(space).ref
