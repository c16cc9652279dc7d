"""A client that changes identities, for the command line and tools."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from protos import common_pb2, identity_pb2, identity_pb2_grpc
from reid.credentials import Credentials
from server.api.identity_messages import EventSummary, change_from_proto, event_from_proto, report_from_proto
from server.api.messages import person_from_proto
from server.client import SearchClient
from server.consolidator import ConsolidationReport
from server.identities import IdentityChange
from server.types import NO_PERSON, PersonSummary

_PAGE = 500
_CONSOLIDATION_TIMEOUT_S = 3600.0


class IdentityClient(SearchClient):
    """Talks to one server, as `SearchClient`, and changes who is who.

    Args:
        address: HOST:PORT.
        timeout_s: Deadline of one call; a consolidation may take an hour.
        credentials: Who asks; None for a server on this machine without TLS.

    Every method raises UnreachableError without an answer, NotFoundError when something does not exist, RefusedError
    when the answer is no.
    """

    def __init__(self, address: str, *, timeout_s: float = 20.0, credentials: Credentials | None = None) -> None:
        super().__init__(address, timeout_s=timeout_s, credentials=credentials)
        self._identities = identity_pb2_grpc.IdentityServiceStub(self._channel)

    def __enter__(self) -> IdentityClient:
        """Return itself."""
        return self

    def get_person(self, person_id: int) -> PersonSummary:
        """One person."""
        with self._explaining():
            request = identity_pb2.GetPersonRequest(person_id=person_id)
            return person_from_proto(self._identities.GetPerson(request, timeout=self._timeout_s).person)

    def merge(self, person_ids: Sequence[int]) -> IdentityChange:
        """Make several persons one; the first goes on."""
        with self._explaining():
            request = identity_pb2.MergePersonsRequest(person_ids=person_ids)
            return change_from_proto(self._identities.MergePersons(request, timeout=self._timeout_s).change)

    def split(self, person_id: int, tracklets: Collection[tuple[str, str, int]]) -> IdentityChange:
        """Give some tracklets, (edge_id, camid, tracklet_id), of a person to a new one."""
        refs = [
            common_pb2.TrackletRef(edge_id=edge_id, camid=camid, tracklet_id=tracklet_id)
            for edge_id, camid, tracklet_id in tracklets
        ]
        with self._explaining():
            request = identity_pb2.SplitPersonRequest(person_id=person_id, tracklets=refs)
            return change_from_proto(self._identities.SplitPerson(request, timeout=self._timeout_s).change)

    def undo(self, event_key: int) -> IdentityChange:
        """Take back a merge, a split or a consolidation."""
        with self._explaining():
            request = identity_pb2.UndoEventRequest(event_key=event_key)
            return change_from_proto(self._identities.UndoEvent(request, timeout=self._timeout_s).change)

    def name(self, person_id: int, name: str) -> IdentityChange:
        """Call a person by a name; an empty one takes it away."""
        with self._explaining():
            request = identity_pb2.NamePersonRequest(person_id=person_id, name=name)
            return change_from_proto(self._identities.NamePerson(request, timeout=self._timeout_s).change)

    def erase(self, person_id: int) -> IdentityChange:
        """Delete a person everywhere, for ever."""
        with self._explaining():
            request = identity_pb2.ErasePersonRequest(person_id=person_id)
            return change_from_proto(self._identities.ErasePerson(request, timeout=self._timeout_s).change)

    def consolidate(self, *, window_s: float = 0.0) -> ConsolidationReport:
        """Cluster everybody seen lately anew; 0 for the server's own window."""
        with self._explaining():
            request = identity_pb2.ConsolidateRequest(window_s=window_s)
            return report_from_proto(self._identities.Consolidate(request, timeout=_CONSOLIDATION_TIMEOUT_S))

    def iter_events(self, *, person_id: int = NO_PERSON) -> Iterator[EventSummary]:
        """What was changed of one person, or of all, oldest first, a page at a time."""
        after = 0
        while True:
            with self._explaining():
                request = identity_pb2.ListEventsRequest(person_id=person_id, page_size=_PAGE, after_event_key=after)
                response = self._identities.ListEvents(request, timeout=self._timeout_s)
            yield from map(event_from_proto, response.events)
            after = response.next_after_event_key
            if not after:
                return
