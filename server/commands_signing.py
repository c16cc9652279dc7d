"""`osprey-server signing …`: the keys that sign releases. They need the data folder; a running server goes on."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, cast

import typer

from reid.cli import AsJson, new_app, print_json, print_warning
from server.releases.repository import ReleaseRepository, RoleState
from server.releases.signing import SIGNING_ROLES, SigningRole
from server.tables import print_table

DataOption = Annotated[Path, typer.Option(help="The server's data folder.")]
RoleName = Enum("RoleName", {role.upper(): role for role in SIGNING_ROLES}, type=str)  # type: ignore[misc]

signing_app = new_app("Look after the keys that sign releases.")


def add_signing_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.add_typer(signing_app, name="signing")


@signing_app.command()
def status(data: DataOption, as_json: AsJson = False) -> None:
    """Show until when what each key signed is good, and which keys are at hand."""
    repository = ReleaseRepository(data)
    states = repository.states()
    if as_json:
        print_json([_to_json(state) for state in states])
        return
    print_table(["role", "version", "good until", "left", "key"], map(_cells, states))
    typer.echo(f"releases that edges can download: {', '.join(repository.list_spaces()) or 'none'}")
    if warning := repository.warning():
        print_warning(warning)


@signing_app.command()
def rotate(
    role: Annotated[RoleName, typer.Argument(help="Whose key; 'timestamp' and 'snapshot' are those a server needs.")],
    data: DataOption,
    as_json: AsJson = False,
) -> None:
    """Make a new key for a role and void the old one, as when it was stolen. It takes the root's key.

    Edges follow by themselves when they next look; no bundle has to be made anew.
    """
    repository = ReleaseRepository(data)
    name = cast(SigningRole, role.value)
    repository.rotate(name)
    state = next(state for state in repository.states() if state.role == name)
    if as_json:
        print_json(_to_json(state))
    else:
        typer.echo(f"{name}: new key in {repository.keys_folder}, good until {state.ends:%Y-%m-%d %H:%M} UTC")


def _cells(state: RoleState) -> list[object]:
    left_h = (state.ends - datetime.now(timezone.utc)).total_seconds() / 3600
    left = f"{left_h / 24:.1f} d" if abs(left_h) >= 48 else f"{left_h:.1f} h"
    key = "at hand" if state.has_key else "kept elsewhere"
    return [state.role, state.version, f"{state.ends:%Y-%m-%d %H:%M}", left, key]


def _to_json(state: RoleState) -> dict[str, object]:
    return {
        "role": state.role,
        "version": state.version,
        "ends": state.ends.isoformat(),
        "has_key": state.has_key,
    }
