"""The identity service: operators merge, split, name, erase and undo. Changes run in the writer's thread."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import Any

import grpc

from protos import identity_pb2, identity_pb2_grpc
from server.api.errors import answering
from server.api.identity_messages import change_to_proto, event_to_proto, report_to_proto
from server.api.messages import person_to_proto
from server.consolidator import Consolidator
from server.errors import NotFoundError, ProtocolError
from server.identities import Identities
from server.security.callers import current_actor
from server.storage.records import Records, Summaries
from server.types import NO_PERSON
from server.writer import Writer

_DEFAULT_PAGE = 100
_MOST_PAGE = 1000
_Context = grpc.aio.ServicerContext[Any, Any]


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Serves `osprey.v1.IdentityService`.

    Args:
        identities: Carries out changes.
        consolidator: Clusters anew on demand.
        writer: In whose thread changes run.
        records: The lineage.
        summaries: Persons.
    """

    def __init__(
        self,
        identities: Identities,
        consolidator: Consolidator,
        writer: Writer,
        records: Records,
        summaries: Summaries,
    ) -> None:
        self._identities = identities
        self._consolidator = consolidator
        self._writer = writer
        self._records = records
        self._summaries = summaries

    async def GetPerson(  # noqa: N802 (the name in the proto)
        self, request: identity_pb2.GetPersonRequest, context: _Context
    ) -> identity_pb2.GetPersonResponse:
        """See identity.proto."""
        async with answering(context):
            found = await asyncio.to_thread(self._summaries.get_persons, [request.person_id])
            if request.person_id not in found:
                raise NotFoundError(
                    f"there is no person {request.person_id} (or no more: 'osprey-server events --person "
                    f"{request.person_id}' tells what became of it)"
                )
            return identity_pb2.GetPersonResponse(person=person_to_proto(found[request.person_id]))

    async def MergePersons(  # noqa: N802
        self, request: identity_pb2.MergePersonsRequest, context: _Context
    ) -> identity_pb2.MergePersonsResponse:
        """See identity.proto."""
        async with answering(context):
            merge = partial(self._identities.merge, list(request.person_ids), current_actor())
            change = await self._writer.submit_operation(merge)
            return identity_pb2.MergePersonsResponse(change=change_to_proto(change))

    async def SplitPerson(  # noqa: N802
        self, request: identity_pb2.SplitPersonRequest, context: _Context
    ) -> identity_pb2.SplitPersonResponse:
        """See identity.proto."""
        async with answering(context):
            names = [(ref.edge_id, ref.camid, ref.tracklet_id) for ref in request.tracklets]
            split = partial(self._identities.split, request.person_id, names, current_actor())
            change = await self._writer.submit_operation(split)
            return identity_pb2.SplitPersonResponse(change=change_to_proto(change))

    async def UndoEvent(  # noqa: N802
        self, request: identity_pb2.UndoEventRequest, context: _Context
    ) -> identity_pb2.UndoEventResponse:
        """See identity.proto."""
        async with answering(context):
            undo = partial(self._identities.undo, request.event_key, current_actor())
            change = await self._writer.submit_operation(undo)
            return identity_pb2.UndoEventResponse(change=change_to_proto(change))

    async def NamePerson(  # noqa: N802
        self, request: identity_pb2.NamePersonRequest, context: _Context
    ) -> identity_pb2.NamePersonResponse:
        """See identity.proto."""
        async with answering(context):
            name = partial(self._identities.name, request.person_id, request.name, current_actor())
            change = await self._writer.submit_operation(name)
            return identity_pb2.NamePersonResponse(change=change_to_proto(change))

    async def ErasePerson(  # noqa: N802
        self, request: identity_pb2.ErasePersonRequest, context: _Context
    ) -> identity_pb2.ErasePersonResponse:
        """See identity.proto."""
        async with answering(context):
            erase = partial(self._identities.erase, request.person_id, current_actor())
            change = await self._writer.submit_operation(erase)
            return identity_pb2.ErasePersonResponse(change=change_to_proto(change))

    async def Consolidate(  # noqa: N802
        self, request: identity_pb2.ConsolidateRequest, context: _Context
    ) -> identity_pb2.ConsolidateResponse:
        """See identity.proto."""
        async with answering(context):
            if not 0 <= request.window_s < float("inf"):
                raise ProtocolError(f"window_s {request.window_s}: wanted seconds before now, or 0 for the setting")
            report = await self._consolidator.consolidate(current_actor(), window_s=request.window_s)
            return report_to_proto(report)

    async def ListEvents(  # noqa: N802
        self, request: identity_pb2.ListEventsRequest, context: _Context
    ) -> identity_pb2.ListEventsResponse:
        """See identity.proto."""
        async with answering(context):
            if request.person_id < NO_PERSON:
                raise ProtocolError(f"person_id {request.person_id}: wanted a person's, or {NO_PERSON} for all")
            limit = min(request.page_size or _DEFAULT_PAGE, _MOST_PAGE)
            found = self._records.iter_events(request.person_id, after=request.after_event_key)
            events = await asyncio.to_thread(lambda: list(islice(found, limit)))
            return identity_pb2.ListEventsResponse(
                events=[event_to_proto(event) for event in events],
                next_after_event_key=events[-1].event_key if len(events) == limit else 0,
            )
