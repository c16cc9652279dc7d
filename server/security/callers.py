"""Who calls, and what they may do: the decisions, without any network.

An edge may stream observations, exchange crops and attend the fleet service, for its own name and cameras. A viewer may
look. An operator may look and change. `ROLES_OF` says so method by method; one that it does not name is refused to
everybody, so that a new one is never open by omission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from reid.credentials import CredentialsKind
from server.errors import AuthenticationError, ForbiddenError, SecurityError
from server.security.certificates import ClientCertificate, read_client_certificate
from server.security.registry import Registry
from server.types import Actor

_Roles = tuple[CredentialsKind, ...]
_EDGES: _Roles = ("edge",)
_OPERATORS: _Roles = ("operator",)
_PEOPLE: _Roles = ("operator", "viewer")
_EVERYBODY: _Roles = ("edge", "operator", "viewer")
"""With a certificate of the site, that is."""

ROLES_OF: Mapping[str, _Roles] = {
    "/osprey.v1.IngestService/StreamObservations": _EDGES,
    "/osprey.v1.CropService/ExchangeCrops": _EDGES,
    "/osprey.v1.FleetService/Attend": _EDGES,
    "/osprey.v1.FleetService/DownloadReleaseFile": _EDGES,
    "/osprey.v1.SearchService/SearchPersons": _PEOPLE,
    "/osprey.v1.SearchService/ListPersons": _PEOPLE,
    "/osprey.v1.SearchService/ListTracklets": _PEOPLE,
    "/osprey.v1.SearchService/GetStatus": _PEOPLE,
    "/osprey.v1.IdentityService/GetPerson": _PEOPLE,
    "/osprey.v1.IdentityService/ListEvents": _PEOPLE,
    "/osprey.v1.IdentityService/MergePersons": _OPERATORS,
    "/osprey.v1.IdentityService/SplitPerson": _OPERATORS,
    "/osprey.v1.IdentityService/UndoEvent": _OPERATORS,
    "/osprey.v1.IdentityService/NamePerson": _OPERATORS,
    "/osprey.v1.IdentityService/ErasePerson": _OPERATORS,
    "/osprey.v1.IdentityService/Consolidate": _OPERATORS,
    "/osprey.v1.AdaptationService/ListAdaptations": _PEOPLE,
    "/osprey.v1.AdaptationService/GetAdaptation": _PEOPLE,
    "/osprey.v1.AdaptationService/StartAdaptation": _OPERATORS,
    "/osprey.v1.AdaptationService/StopAdaptation": _OPERATORS,
    "/osprey.v1.AdaptationService/ResumeAdaptation": _OPERATORS,
    "/osprey.v1.ReleaseService/ListReleases": _PEOPLE,
    "/osprey.v1.ReleaseService/GetRelease": _PEOPLE,
    "/osprey.v1.ReleaseService/GetRollout": _PEOPLE,
    "/osprey.v1.ReleaseService/ImportRelease": _OPERATORS,
    "/osprey.v1.ReleaseService/StartRollout": _OPERATORS,
    "/osprey.v1.ReleaseService/PauseRollout": _OPERATORS,
    "/osprey.v1.ReleaseService/ResumeRollout": _OPERATORS,
    "/osprey.v1.ReleaseService/AbortRollout": _OPERATORS,
    "/grpc.health.v1.Health/Check": _EVERYBODY,
    "/grpc.health.v1.Health/Watch": _EVERYBODY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPERATORS,
}
"""Who may call what, `/package.Service/Method`."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls.

    Attributes:
        kind: `local` without TLS: anybody on this machine, who may do everything.
        name: The edge_id, or the person's name.
        camids: Cameras of an edge.
        serial: Of the certificate.
        ends_at_s: When it ends, seconds since the Unix epoch.
    """

    kind: CredentialsKind | Literal["local"]
    name: str
    camids: tuple[str, ...] = ()
    serial: str = ""
    ends_at_s: int = 0

    @property
    def actor(self) -> Actor:
        """As records and audit log name it; an edge acts for the system."""
        if self.kind in ("operator", "viewer"):
            return Actor(self.name, "operator" if self.kind == "operator" else "viewer")
        return Actor(self.name, "operator" if self.kind == "local" else "system")

    def check_method(self, method: str) -> None:
        """Complain if this caller may not call a method.

        Args:
            method: `/package.Service/Method`.

        Raises:
            ForbiddenError: It may not.
        """
        roles = ROLES_OF.get(method, ())
        if self.kind == "local" or self.kind in roles:
            return
        wanted = f"it takes the credentials of an {roles[0]}" if roles else "this server lets nobody"
        raise ForbiddenError(f"{self.kind} {self.name} may not call {method.rpartition('/')[2]}: {wanted}")

    def check_edge(self, edge_id: str, camids: Sequence[str]) -> None:
        """Complain if this caller may not speak for an edge and its cameras.

        Raises:
            ForbiddenError: Its certificate is for another edge, or not for one of the cameras.
        """
        if self.kind == "local":
            return
        if self.kind != "edge" or edge_id != self.name:
            raise ForbiddenError(
                f"the certificate is of {self.kind} {self.name}, and does not allow to speak for edge {edge_id}"
            )
        forged = [camid for camid in camids if camid not in self.camids]
        if forged:
            raise ForbiddenError(
                f"edge {edge_id} announces camera {', '.join(forged[:8])}, but its certificate is for "
                f"{', '.join(self.camids)}: enrol it again with all of its cameras"
            )


LOCAL = Caller(kind="local", name="local")
"""Everybody, on a server without TLS."""

_current: ContextVar[Caller] = ContextVar("caller", default=LOCAL)


def current_caller() -> Caller:
    """Who made the call that is being answered; `LOCAL` without TLS."""
    return _current.get()


def current_actor() -> Actor:
    """The same, as records and audit log name it."""
    return current_caller().actor


def set_caller(caller: Caller) -> None:
    """Say who made the call that the current task answers."""
    _current.set(caller)


class Gate:
    """Tells who may come in.

    Args:
        registry: Who is enrolled.
        clock: Seconds since the Unix epoch.
    """

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock

    def identify(self, certificate_pem: bytes) -> Caller:
        """The caller behind a certificate that the site's CA signed; whether they may come in is another question.

        Raises:
            AuthenticationError: It is no client's.
        """
        try:
            return _to_caller(read_client_certificate(certificate_pem))
        except SecurityError as error:
            raise AuthenticationError(str(error)) from None

    def admit(self, caller: Caller, token: str) -> None:
        """Complain if a caller may not come in.

        Raises:
            AuthenticationError: The certificate is not enrolled, revoked or over, or the token is missing or wrong.
            SecurityError: The list of who is enrolled cannot be read.
        """
        self.check(caller)
        enrolment = self._registry.find(caller.serial)
        if caller.kind != "edge" and not (token and enrolment and enrolment.has_token(token)):
            raise AuthenticationError(f"{caller.kind} {caller.name}: the token is {'wrong' if token else 'missing'}")

    def log_in(self, name: str, token: str) -> Caller:
        """The person behind a name and a token, without a certificate: for the console, whose visitors have browsers.

        Raises:
            AuthenticationError: No operator or viewer of that name has good credentials with that token.
            SecurityError: The list of who is enrolled cannot be read.
        """
        for enrolment in self._registry.list_all():
            is_person = enrolment.kind != "edge" and enrolment.name == name
            if is_person and token and enrolment.has_token(token):
                caller = Caller(kind=enrolment.kind, name=name, serial=enrolment.serial, ends_at_s=enrolment.ends_at_s)
                self.check(caller)
                return caller
        raise AuthenticationError(f"no operator or viewer {name!r} with this token is enrolled")

    def check(self, caller: Caller) -> None:
        """Complain if a caller who was admitted may not stay.

        Raises:
            AuthenticationError: Its certificate is not enrolled, was revoked, or is over.
            SecurityError: The list of who is enrolled cannot be read.
        """
        if caller.kind == "local":
            return
        who, enrolment = f"{caller.kind} {caller.name}", self._registry.find(caller.serial)
        renewal = f"use 'osprey-server renew {who}'"
        if enrolment is None or (enrolment.kind, enrolment.name) != (caller.kind, caller.name):
            raise AuthenticationError(f"certificate {caller.serial} of {who} is not enrolled on this server: {renewal}")
        if enrolment.revoked_at_s:
            raise AuthenticationError(f"certificate {caller.serial} of {who} was revoked")
        if self._clock() >= caller.ends_at_s:
            raise AuthenticationError(f"certificate {caller.serial} of {who} has ended: {renewal}")


def _to_caller(certificate: ClientCertificate) -> Caller:
    return Caller(
        kind=certificate.kind,
        name=certificate.name,
        camids=certificate.camids,
        serial=certificate.serial,
        ends_at_s=certificate.ends_at_s,
    )
