from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from fakes_site import enroll, make_site
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import protos
from protos import adaptation_pb2, crops_pb2, fleet_pb2, identity_pb2, ingest_pb2, releases_pb2, search_pb2
from server.errors import AuthenticationError, ForbiddenError
from server.security.authority import Authority
from server.security.callers import LOCAL, ROLES_OF, Caller, Gate
from server.types import Actor

EDGE = Caller(kind="edge", name="e1", camids=("c1", "c2"), serial="1", ends_at_s=9)
VIEWER = Caller(kind="viewer", name="vic", serial="2", ends_at_s=9)
OPERATOR = Caller(kind="operator", name="ann", serial="3", ends_at_s=9)
SEARCH, MERGE = "/osprey.v1.SearchService/SearchPersons", "/osprey.v1.IdentityService/MergePersons"
STREAM, HEALTH = "/osprey.v1.IngestService/StreamObservations", "/grpc.health.v1.Health/Check"


@pytest.mark.parametrize(
    ("caller", "method"),
    [(EDGE, STREAM), (VIEWER, SEARCH), (OPERATOR, SEARCH), (OPERATOR, MERGE), (EDGE, HEALTH), (LOCAL, MERGE)],
)
def test_each_role_may_do_its_own(caller: Caller, method: str) -> None:
    caller.check_method(method)


@pytest.mark.parametrize(
    ("caller", "method"),
    [
        (EDGE, SEARCH),
        (EDGE, MERGE),
        (VIEWER, STREAM),
        (VIEWER, MERGE),
        (OPERATOR, STREAM),
        (OPERATOR, "/new.Service/X"),
    ],
)
def test_no_role_may_do_another_ones(caller: Caller, method: str) -> None:
    with pytest.raises(ForbiddenError, match=f"{caller.kind} {caller.name} may not"):
        caller.check_method(method)


def test_an_edge_speaks_for_itself_and_its_cameras_only() -> None:
    EDGE.check_edge("e1", ["c2"])
    with pytest.raises(ForbiddenError, match=r"of edge e1.*for edge e2"):
        EDGE.check_edge("e2", ["c1"])
    with pytest.raises(ForbiddenError, match=r"announces camera c3.*c1, c2"):
        EDGE.check_edge("e1", ["c1", "c3"])


def test_callers_are_named_in_the_records() -> None:
    assert [caller.actor for caller in (OPERATOR, VIEWER, EDGE, LOCAL)] == [
        Actor("ann", "operator"),
        Actor("vic", "viewer"),
        Actor("e1", "system"),
        Actor("local", "operator"),
    ]


def test_every_method_of_every_service_says_who_may_call_it() -> None:
    for name in sorted(path.stem for path in Path(protos.__file__).parent.glob("*_pb2.py")):
        descriptor = importlib.import_module(f"protos.{name}").DESCRIPTOR
        for service in descriptor.services_by_name.values():
            undeclared = {f"/{service.full_name}/{method.name}" for method in service.methods} - set(ROLES_OF)
            assert not undeclared, f"name the roles of {sorted(undeclared)} in server/security/callers.py"


def test_no_role_is_declared_for_a_method_that_does_not_exist() -> None:
    served = [
        ingest_pb2,
        crops_pb2,
        fleet_pb2,
        search_pb2,
        identity_pb2,
        adaptation_pb2,
        releases_pb2,
        health_pb2,
        reflection_pb2,
    ]
    services = [service for module in served for service in module.DESCRIPTOR.services_by_name.values()]
    assert set(ROLES_OF) == {
        f"/{service.full_name}/{method.name}" for service in services for method in service.methods
    }


def admit(gate: Gate, certificate_pem: str, token: str = "") -> Caller:
    caller = gate.identify(certificate_pem.encode())
    gate.admit(caller, token)
    return caller


@pytest.fixture
def site(tmp_path: Path) -> Authority:
    return make_site(tmp_path)


def test_an_enrolled_edge_needs_no_token(site: Authority) -> None:
    made = enroll(site, "edge", "e1", "c1")
    assert admit(Gate(site.registry, lambda: 0), made.certificate_pem).camids == ("c1",)


@pytest.mark.parametrize(("token", "message"), [("", "token is missing"), ("wrong", "token is wrong")])
def test_a_person_needs_the_right_token(site: Authority, token: str, message: str) -> None:
    made = enroll(site, "operator", "ann")
    gate = Gate(site.registry, lambda: 0)
    assert admit(gate, made.certificate_pem, made.token).name == "ann"
    with pytest.raises(AuthenticationError, match=message):
        admit(gate, made.certificate_pem, token)


def test_the_token_of_somebody_else_is_wrong(site: Authority) -> None:
    ann, vic = enroll(site, "operator", "ann"), enroll(site, "viewer", "vic")
    with pytest.raises(AuthenticationError, match="viewer vic: the token is wrong"):
        admit(Gate(site.registry, lambda: 0), vic.certificate_pem, ann.token)


def test_a_certificate_that_was_never_given_out_is_refused(site: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = enroll(make_site(tmp_path / "other"), "edge", "e1", "c1")
    with pytest.raises(AuthenticationError, match="edge e1 is not enrolled"):
        admit(Gate(site.registry, lambda: 0), stranger.certificate_pem)


def test_the_servers_own_certificate_is_no_callers(site: Authority) -> None:
    with pytest.raises(AuthenticationError, match="must name one edge"):
        Gate(site.registry, lambda: 0).identify(site.server_pair().certificate_pem)


def test_a_certificate_ends_while_its_holder_is_connected(site: Authority) -> None:
    made = enroll(site, "edge", "e1", "c1")
    time_s = [0.0]
    gate = Gate(site.registry, lambda: time_s[0])
    caller = admit(gate, made.certificate_pem)
    time_s[0] = made.ends_at_s
    with pytest.raises(AuthenticationError, match="has ended"):
        gate.check(caller)


def test_a_visitor_of_the_console_needs_a_name_and_its_token(site: Authority) -> None:
    gate, ann = Gate(site.registry, lambda: 0), enroll(site, "operator", "ann")
    assert gate.log_in("ann", ann.token).actor == Actor("ann", "operator")
    for name, token in (("ann", "wrong"), ("ann", ""), ("vic", ann.token)):
        with pytest.raises(AuthenticationError, match=f"no operator or viewer '{name}'"):
            gate.log_in(name, token)


def test_no_edge_visits_the_console(site: Authority) -> None:
    enroll(site, "edge", "e1", "c1")
    with pytest.raises(AuthenticationError, match="no operator or viewer 'e1'"):
        Gate(site.registry, lambda: 0).log_in("e1", "")


def test_renewed_credentials_open_the_console_beside_the_former_ones(site: Authority) -> None:
    gate = Gate(site.registry, lambda: 0)
    one, two = (enroll(site, "operator", "ann") for _ in range(2))
    assert gate.log_in("ann", one.token).serial != gate.log_in("ann", two.token).serial


def test_credentials_that_have_ended_open_nothing(site: Authority) -> None:
    ann = enroll(site, "operator", "ann")
    with pytest.raises(AuthenticationError, match="has ended"):
        Gate(site.registry, lambda: ann.ends_at_s).log_in("ann", ann.token)
