"""`osprey-server person …`, `consolidate`, `events` and `export`: who is who, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from reid.cli import AsJson, new_app, print_json
from reid.files import write_atomic
from server.access import CredentialsOption, ServerOption, open_client
from server.api.identity_messages import EventSummary
from server.export import to_csv, to_mot, tracklet_to_json
from server.identities import IdentityChange
from server.moments import duration, moment
from server.tables import print_table
from server.timeline import read_tracklet, with_gaps
from server.types import NO_PERSON, TrackletSummary

PersonArgument = Annotated[int, typer.Argument(min=1, help="The person's number, as 'osprey-server persons' lists it.")]

person_app = new_app("Look at one person, and correct who is who.")


class ExportFormat(str, Enum):
    """What `export` writes."""

    MOT = "mot"
    JSON = "json"
    CSV = "csv"


@person_app.command()
def show(
    person: PersonArgument,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Show one person: name, cameras, how often and when seen."""
    with open_client(server, credentials) as client:
        found = client.get_person(person)
    if as_json:
        print_json(asdict(found))
        return
    shown = {
        "person": found.person_id,
        "name": found.name or "-",
        "cameras": " ".join(found.camids),
        "tracklets": found.num_tracklets,
        "views": found.num_observations,
        "first seen": moment(found.start_us),
        "last seen": moment(found.end_us),
    }
    print_table(["", ""], shown.items())


@person_app.command()
def timeline(
    person: PersonArgument,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Follow one person: every tracklet in order, with its camera and the time since the last one ended."""
    with open_client(server, credentials) as client:
        found = list(client.iter_tracklets(person_id=person))
    rows = [{**tracklet_to_json(tracklet), "gap_us": gap_us} for tracklet, gap_us in with_gaps(found)]
    if as_json:
        for row in rows:
            del row["sightings"]
        print_json(rows)
        return
    print_table(
        ["start", "end", "after", "edge", "camera", "tracklet", "views"],
        [
            (
                moment(row["start_us"]),
                moment(row["end_us"]),
                "" if row["gap_us"] is None else duration(row["gap_us"]),
                row["edge_id"],
                row["camid"],
                row["tracklet_id"],
                row["num_observations"],
            )
            for row in rows
        ],
    )


@person_app.command()
def merge(
    persons: Annotated[list[int], typer.Argument(min=1, help="Two or more; the first keeps its number.")],
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Make several persons one.

    Your word holds: neither matching nor consolidation takes them apart again. 'person undo' takes it back.
    """
    with open_client(server, credentials) as client:
        _tell(client.merge(persons), "merged", as_json=as_json)


@person_app.command()
def split(
    person: PersonArgument,
    tracklets: Annotated[
        list[str], typer.Option("--tracklet", help="EDGE/CAMERA/NUMBER, as 'person timeline' lists it; repeatable.")
    ],
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Give some tracklets of a person to a new one.

    Your word holds: those tracklets never return to the rest by themselves. 'person undo' takes it back.
    """
    names = [read_tracklet(text) for text in tracklets]
    with open_client(server, credentials) as client:
        _tell(client.split(person, names), "split off", as_json=as_json)


@person_app.command()
def undo(
    event: Annotated[int, typer.Argument(min=1, help="The event's number, as 'osprey-server events' lists it.")],
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Take back a merge, a split or a consolidation: persons get their former numbers and tracklets."""
    with open_client(server, credentials) as client:
        _tell(client.undo(event), "returned", as_json=as_json)


@person_app.command()
def name(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(help="One line; empty takes the name away.")],
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Call a person by a name."""
    with open_client(server, credentials) as client:
        _tell(client.name(person, name), "named", as_json=as_json)


@person_app.command()
def erase(
    person: PersonArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Delete everything that the server keeps of a person, for ever. Cannot be undone."""
    if not yes:
        typer.confirm(f"Delete everything of person {person}, for ever?", abort=True)
    with open_client(server, credentials) as client:
        _tell(client.erase(person), "erased", as_json=as_json)


def consolidate(
    window_h: Annotated[
        float, typer.Option("--hours", min=0, help="Persons seen within this time; 0 for the server's setting.")
    ] = 0.0,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Look at everybody seen lately again: merge and split persons as all of their tracklets together suggest.

    What operators said holds. 'osprey-server events' lists what changed, and 'person undo' takes back any of it.
    """
    with open_client(server, credentials) as client:
        report = client.consolidate(window_s=window_h * 3600)
    if as_json:
        print_json(asdict(report))
        return
    typer.echo(
        f"{report.num_moved} of {report.num_tracklets} tracklets moved in {len(report.event_keys)} events, "
        f"{report.num_skipped} groups left alone because they changed meanwhile"
    )


def events(
    person: Annotated[int, typer.Option(min=0, help="Only of this person; 0 for all.")] = NO_PERSON,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """List what was merged, split, undone, named or consolidated, oldest first."""
    with open_client(server, credentials) as client:
        found = list(client.iter_events(person_id=person))
    if as_json:
        print_json([_event_to_json(event) for event in found])
        return
    print_table(["event", "when", "what", "who", "undone by", "tracklets", "persons"], map(_event_cells, found))


def export(
    out: Annotated[Path, typer.Option(help="File to write; for MOT a folder, with one file for each camera.")],
    format: Annotated[ExportFormat, typer.Option(help="mot, json or csv.")] = ExportFormat.JSON,
    person: Annotated[int, typer.Option(min=0, help="Only of this person; 0 for all.")] = NO_PERSON,
    fps: Annotated[float, typer.Option(min=0.001, help="MOT: frames a second.")] = 25.0,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write tracklets with every sighting, for other tools."""
    with open_client(server, credentials) as client:
        found = list(client.iter_tracklets(person_id=person, with_sightings=True))
    written = dict(_texts(found, out, format, fps))
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    if as_json:
        print_json({"files": [str(path) for path in written], "num_tracklets": len(found)})
    else:
        typer.echo(f"{len(found)} tracklets in {', '.join(map(str, written)) or 'no file'}")


def add_person_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.add_typer(person_app, name="person")
    for command in (consolidate, events, export):
        app.command()(command)


def _texts(
    tracklets: Sequence[TrackletSummary], out: Path, format: ExportFormat, fps: float
) -> Iterator[tuple[Path, str]]:
    if format is ExportFormat.MOT:
        for camera, text in to_mot(tracklets, fps=fps).items():
            yield out / f"{camera.edge_id}_{camera.camid}".replace("/", "_") / "gt.txt", text
    elif format is ExportFormat.CSV:
        yield out, to_csv(tracklets)
    else:
        yield out, json.dumps([tracklet_to_json(tracklet) for tracklet in tracklets]) + "\n"


def _tell(change: IdentityChange, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(change))
        return
    persons = ", ".join(map(str, change.person_ids)) or "none"
    event = f" (event {change.event_key})" if change.event_key else ""
    count = f", {change.num_tracklets} tracklets" if change.num_tracklets else ""
    typer.echo(f"{done}: person {persons}{count}{event}")


def _event_to_json(event: EventSummary) -> dict[str, Any]:
    values = asdict(event)
    values["moves"] = [
        {"from_person": one, "to_person": other, "num_tracklets": count} for one, other, count in event.moves
    ]
    values["folded"] = [{"person_id": person_id, "into": into} for person_id, into in event.folded]
    values["namings"] = [naming._asdict() for naming in event.namings]
    return values


def _event_cells(event: EventSummary) -> list[object]:
    changes = [f"{one}→{other} ({count})" for one, other, count in event.moves]
    changes += [f"{naming.person_id}: {naming.new_name or 'no name'}" for naming in event.namings]
    return [
        event.event_key,
        moment(event.time_us),
        event.kind,
        event.actor,
        event.undone_by or "",
        sum(count for *_, count in event.moves),
        ", ".join(changes),
    ]
