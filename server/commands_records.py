"""`osprey-server backup`, `restore` and `audit`: work on a data folder, not through a running server."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from reid.cli import AsJson, print_json
from reid.settings import load_settings
from server.moments import read_moment
from server.settings import ENV_PREFIX, ServerSettings
from server.storage.backup import back_up
from server.storage.backup import restore as restore_records
from server.storage.database import read_database
from server.storage.records import AuditEntry
from server.storage.sql import SqlRecords
from server.tables import print_table

DataOption = Annotated[Path, typer.Option(help="The server's data folder.")]
ConfigOption = Annotated[Path | None, typer.Option(help="The server's TOML file, if the records lie elsewhere.")]


def backup(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="File to write.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Copy the records into one file, while the server runs or not, and check the copy."""
    num_bytes = back_up(_settings(data, config).storage, data=data, out=out)
    if as_json:
        print_json({"out": out, "num_bytes": num_bytes})
    else:
        typer.echo(f"{out}: {num_bytes / 1e6:.1f} MB, checked")


def restore(
    data: DataOption,
    backup_file: Annotated[Path, typer.Option("--from", help="File that `backup` wrote.")],
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the records that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the records of a server that is stopped."""
    restore_records(_settings(data, config).storage, data=data, source=backup_file, is_forced=force)
    if as_json:
        print_json({"data": data, "restored_from": backup_file})
    else:
        typer.echo(f"{data}: restored from {backup_file}")


def audit(
    data: DataOption,
    since: Annotated[str, typer.Option(help="ISO date or time, UTC unless it says otherwise; default: all.")] = "",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show who did what, oldest first."""
    since_us = read_moment(since, option="--since") if since else 0
    records = SqlRecords(read_database(_settings(data, config).storage, data=data))
    try:
        entries = list(records.iter_audit(since_us=since_us))
    finally:
        records.close()
    if as_json:
        print_json([_to_json(entry) for entry in entries])
        return
    print_table(["time", "who", "role", "what", "subject", "outcome"], (_to_json(entry).values() for entry in entries))


def _settings(data: Path, config: Path | None) -> ServerSettings:
    return load_settings(ServerSettings, path=config, env_prefix=ENV_PREFIX, overrides={"data": data})


def _to_json(entry: AuditEntry) -> dict[str, str]:
    return {
        "time": datetime.fromtimestamp(entry.time_us / 1e6, timezone.utc).isoformat(timespec="milliseconds"),
        "actor": entry.actor.name,
        "role": entry.actor.role,
        "what": entry.what,
        "subject": entry.subject,
        "outcome": entry.outcome,
    }
