"""`osprey-server init`, `enroll`, `renew` and `revoke`: the site's certificates. They need the data folder, no server.

A running server takes note of all of them at once.
"""

from __future__ import annotations

import socket
import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from reid.channel import is_loopback
from reid.cli import AsJson, new_app, print_json
from reid.credentials import Credentials, CredentialsKind, day, write_credentials
from server.errors import SecurityError
from server.releases.repository import ReleaseRepository
from server.security.authority import Authority
from server.security.registry import Enrolment
from server.settings import DEFAULT_ADDRESS
from server.tables import print_table

_CA_DAYS = 3650
_SERVER_DAYS = 825
_EDGE_DAYS = 365
_PERSON_DAYS = 180

enroll_app = new_app("Let an edge or a person in, or list who was.")
renew_app = new_app("Give a holder, or the server, a new certificate; the former one stays good until it ends.")
revoke_app = new_app("Shut a holder out, at once.")

DataOption = Annotated[Path, typer.Option(help="Folder of the server's records.")]
OutOption = Annotated[Path, typer.Option(help="File to write, for its holder alone; carry it there safely.")]
AddressOption = Annotated[
    str, typer.Option("--server", help="HOST:PORT for the holder; default: first host of the server, port 7070.")
]
HostsOption = Annotated[
    list[str], typer.Option("--host", help="Name or address under which clients reach the server; may be repeated.")
]
NameArgument = Annotated[str, typer.Argument(help="Name of the edge (its edge_id) or person.")]
CamerasOption = Annotated[str, typer.Option(help="The edge's cameras, such as entrance,hall.")]
DaysOption = Annotated[int, typer.Option(min=1, help="Days until it ends.")]
SerialOption = Annotated[str, typer.Option(help="Only the certificate with this serial; default: all of the holder.")]


def add_security_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `osprey-server`."""
    app.command()(init)
    app.add_typer(enroll_app, name="enroll")
    app.add_typer(renew_app, name="renew")
    app.add_typer(revoke_app, name="revoke")


def init(
    data: DataOption,
    host: HostsOption = [],  # noqa: B006
    site: Annotated[str, typer.Option(help="Name of the site, shown in the CA's certificate.")] = "site",
    ca_days: DaysOption = _CA_DAYS,
    server_days: DaysOption = _SERVER_DAYS,
    as_json: AsJson = False,
) -> None:
    """Make the site's CA and the server's certificate. Once, before the first run."""
    authority = Authority(data)
    authority.make(_with_local(host), site=site, ca_days=ca_days, server_days=server_days, now=_now())
    releases = ReleaseRepository(data)
    releases.make()
    if as_json:
        print_json({"folder": authority.folder, "hosts": authority.hosts(), "signing_keys": releases.keys_folder})
        return
    typer.echo(f"{authority.folder}: CA for {ca_days} days, server certificate for {server_days} days")
    typer.echo(f"clients reach the server as: {', '.join(authority.hosts())}")
    typer.echo(f"{releases.keys_folder}: keys that sign releases; move root-*.key away from the network, with a copy")
    typer.echo("whoever has ca.key can let anybody in: keep a copy away from the network, and nobody else near it")


@enroll_app.command("edge")
def enroll_edge(
    name: NameArgument,
    cameras: CamerasOption,
    data: DataOption,
    out: OutOption,
    server: AddressOption = "",
    days: DaysOption = _EDGE_DAYS,
    as_json: AsJson = False,
) -> None:
    """Make the bundle of an edge, for `osprey-edge run --bundle FILE`."""
    camids = [camid.strip() for camid in cameras.split(",") if camid.strip()]
    _enroll("edge", name, camids, data=data, out=out, server=server, days=days, as_json=as_json)


@enroll_app.command("list")
def list_enrolled(data: DataOption, as_json: AsJson = False) -> None:
    """List every certificate that was given out."""
    enrolments = Authority(data).registry.list_all()
    if as_json:
        print_json(
            [{key: value for key, value in asdict(item).items() if key != "token_sha256"} for item in enrolments]
        )
        return
    print_table(
        ["kind", "name", "cameras", "ends", "state", "serial"],
        [
            (item.kind, item.name, " ".join(item.camids), day(item.ends_at_s), _state(item), item.serial)
            for item in enrolments
        ],
    )


@renew_app.command("server")
def renew_server(
    data: DataOption,
    host: HostsOption = [],  # noqa: B006
    days: DaysOption = _SERVER_DAYS,
    as_json: AsJson = False,
) -> None:
    """Give the server a new certificate, for the same hosts unless some are named. It needs no restart."""
    authority = Authority(data)
    authority.renew_server(_with_local(host) if host else (), days=days, now=_now())
    if as_json:
        print_json({"hosts": authority.hosts(), "ends_at_s": authority.server_ends_at_s()})
    else:
        typer.echo(f"server certificate for {', '.join(authority.hosts())}, {days} days")


def _add_enroll(kind: CredentialsKind, explanation: str) -> None:
    @enroll_app.command(kind, help=explanation)
    def enroll(
        name: NameArgument,
        data: DataOption,
        out: OutOption,
        server: AddressOption = "",
        days: DaysOption = _PERSON_DAYS,
        as_json: AsJson = False,
    ) -> None:
        _enroll(kind, name, [], data=data, out=out, server=server, days=days, as_json=as_json)


def _add_renew(kind: CredentialsKind, explanation: str, default_days: int) -> None:
    @renew_app.command(kind, help=explanation)
    def renew(
        name: NameArgument,
        data: DataOption,
        out: OutOption,
        server: AddressOption = "",
        days: DaysOption = default_days,
        as_json: AsJson = False,
    ) -> None:
        authority = Authority(data)
        address = server or _default_address(authority)
        _hand_out(authority.renew(kind, name, server=address, days=days, now=_now()), out, as_json=as_json)


def _add_revoke(kind: CredentialsKind, explanation: str) -> None:
    @revoke_app.command(kind, help=explanation)
    def revoke(name: NameArgument, data: DataOption, serial: SerialOption = "", as_json: AsJson = False) -> None:
        num_revoked = Authority(data).registry.revoke(kind, name, serial=serial, now_s=int(time.time()))
        if as_json:
            print_json({"kind": kind, "name": name, "num_revoked": num_revoked})
        elif num_revoked:
            typer.echo(f"{kind} {name}: revoked {num_revoked} certificate{'s' if num_revoked > 1 else ''}")
        else:
            typer.echo(f"{kind} {name}: nothing to revoke, it was done before")


_add_enroll("operator", "Make the credentials of somebody who may search and change everything.")
_add_enroll("viewer", "Make the credentials of somebody who may search and look only.")
_add_renew("edge", "Make a new bundle with the same cameras.", _EDGE_DAYS)
_add_renew("operator", "Make new credentials, with a new token.", _PERSON_DAYS)
_add_renew("viewer", "Make new credentials, with a new token.", _PERSON_DAYS)
_add_revoke("edge", "Shut an edge out; its open stream ends within seconds.")
_add_revoke("operator", "Shut an operator out.")
_add_revoke("viewer", "Shut a viewer out.")


def _enroll(
    kind: CredentialsKind, name: str, camids: list[str], *, data: Path, out: Path, server: str, days: int, as_json: bool
) -> None:
    authority = Authority(data)
    address = server or _default_address(authority)
    _hand_out(authority.enroll(kind, name, camids, server=address, days=days, now=_now()), out, as_json=as_json)


def _hand_out(credentials: Credentials, out: Path, *, as_json: bool) -> None:
    try:
        write_credentials(out, credentials)
    except OSError as error:
        raise SecurityError(f"cannot write {out}: {error.strerror}; nothing was handed out, try again") from None
    if as_json:
        keys = ("kind", "name", "camids", "server", "ends_at_s")
        print_json({"out": out, **{key: getattr(credentials, key) for key in keys}})
        return
    holder = f"{credentials.kind} {credentials.name}"
    typer.echo(f"{out}: {holder}, server {credentials.server}, until {day(credentials.ends_at_s)}")


def _default_address(authority: Authority) -> str:
    """The first host that other machines can reach, or this machine."""
    hosts = [f"[{host}]" if ":" in host else host for host in authority.hosts()]
    port = DEFAULT_ADDRESS.rpartition(":")[2]
    return next((f"{host}:{port}" for host in hosts if not is_loopback(f"{host}:{port}")), DEFAULT_ADDRESS)


def _with_local(hosts: list[str]) -> list[str]:
    """These hosts, or this machine's name if there are none; always with the addresses of this machine."""
    return list(dict.fromkeys([*(hosts or [socket.gethostname()]), "localhost", "127.0.0.1", "::1"]))


def _state(enrolment: Enrolment) -> str:
    if enrolment.revoked_at_s:
        return f"revoked {day(enrolment.revoked_at_s)}"
    return "ended" if time.time() >= enrolment.ends_at_s else "good"


def _now() -> datetime:
    return datetime.now(timezone.utc)
