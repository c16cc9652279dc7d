"""`osprey-server`: runs the server, and asks a running one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import cv2
import structlog
import typer
from rich.console import Console
from rich.table import Table

from reid.cli import new_app, print_json, run_app
from reid.errors import ImageError
from reid.files import write_atomic
from reid.logs import configure_logs
from reid.release import Release, load_release
from reid.settings import load_settings
from server.api.messages import PersonMatch, ServerStatus
from server.api.serve import serve
from server.client import SearchClient
from server.errors import NotFoundError
from server.settings import DEFAULT_ADDRESS, ENV_PREFIX, ServerSettings
from server.sheet import collect_rows, draw_sheet
from server.types import NO_PERSON, EdgeSummary, PersonSummary, TrackletSummary

app = new_app("The central server: receives, matches, stores and searches embeddings.")
logger = structlog.get_logger(__name__)

_WIDEST = 100_000
"""Columns that a table may take in a file or pipe, so that nothing wraps there; it takes only what it needs."""

ServerOption = Annotated[str, typer.Option("--server", help="HOST:PORT of a running server.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Folder of the records; made if missing.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = None,
    release: Annotated[Path | None, typer.Option(help="Release folder; default: the one shipped in models/.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these and more settings.")] = None,
    insecure_any_address: Annotated[
        bool, typer.Option("--insecure-any-address", help="Listen beyond this machine, without TLS or log-in.")
    ] = False,
    port_file: Annotated[Path | None, typer.Option(help="Write the port here once calls are taken.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Run the server until SIGINT or SIGTERM."""
    configure_logs(level=log_level, as_json=log_json)
    overrides = {
        "data": data,
        "listen": listen,
        "release": release,
        "insecure_any_address": insecure_any_address or None,
    }
    settings = load_settings(ServerSettings, path=config, env_prefix=ENV_PREFIX, overrides=overrides)
    asyncio.run(_run_until_signal(settings, load_release(settings.release), port_file))


@app.command()
def persons(server: ServerOption = DEFAULT_ADDRESS, as_json: JsonOption = False) -> None:
    """List all persons."""
    with SearchClient(server) as client:
        people = list(client.iter_persons())
    if as_json:
        print_json([asdict(person) for person in people])
        return
    _print_table(["person", "cameras", "tracklets", "views", "first seen", "last seen"], map(_person_cells, people))


@app.command()
def search(
    image: Annotated[Path, typer.Option(help="Picture of one person, cropped.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="Most persons wanted.")] = 10,
    server: ServerOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Find the persons most like a picture."""
    try:
        content = image.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read picture {image}: {error.strerror}") from None
    with SearchClient(server) as client:
        matches = client.search_image(content, top=top)
    if as_json:
        print_json([asdict(match) for match in matches])
        return
    head = ["similarity", "match", "in camera", "person", "cameras", "tracklets", "views", "first seen", "last seen"]
    _print_table(head, map(_match_cells, matches))


@app.command()
def tracklets(
    person: Annotated[int, typer.Option(min=0, help="Only of this person; 0 for all.")] = NO_PERSON,
    sightings: Annotated[bool, typer.Option("--sightings", help="With every observation's time and box.")] = False,
    server: ServerOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """List tracklets: who was where, when."""
    with SearchClient(server) as client:
        found = list(client.iter_tracklets(person_id=person, with_sightings=sightings and as_json))
    if as_json:
        print_json([_tracklet_to_json(tracklet) for tracklet in found])
        return
    _print_table(["edge", "camera", "tracklet", "person", "views", "start", "end"], map(_tracklet_cells, found))


@app.command()
def status(server: ServerOption = DEFAULT_ADDRESS, as_json: JsonOption = False) -> None:
    """Show what the server holds, and which edges are connected."""
    with SearchClient(server) as client:
        state = client.status()
    if as_json:
        print_json(_status_to_json(state))
        return
    for name, value in _status_to_json(state).items():
        if name != "edges":
            typer.echo(f"{name:>18}  {state.release if name == 'release' else value}")
    _print_table(
        ["edge", "connected", "cameras", "stored", "acknowledged up to", "last seen"],
        map(_edge_cells, state.edges),
    )


@app.command()
def sheet(
    crops: Annotated[list[Path], typer.Option(help="Folder of an edge's crops; may be given several times.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    max_rows: Annotated[int, typer.Option(min=1, help="Most persons shown.")] = 30,
    server: ServerOption = DEFAULT_ADDRESS,
) -> None:
    """Write a contact sheet: one row per person, one crop per camera."""
    with SearchClient(server) as client:
        rows = collect_rows(client.iter_tracklets(), crops, max_rows=max_rows)
    if not rows:
        wanted = crops[0] / "CAMERA" / "TRACKLET.jpg"
        raise NotFoundError(f"no stored tracklet has a crop such as {wanted}: give the crop folders of the edges")
    write_atomic(out, cv2.imencode(".png", draw_sheet(rows))[1].tobytes())
    typer.echo(f"{out}: {len(rows)} persons")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `osprey-server`."""
    run_app(app, arguments)


async def _run_until_signal(settings: ServerSettings, release: Release, port_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def tell(address: str) -> None:
        if port_file is not None:
            write_atomic(port_file, f"{address.rpartition(':')[2]}\n".encode())
        logger.info(f"listening on {address}", release=str(release.ref), data=str(settings.data))

    await serve(settings, release, stop=stop, on_listening=tell)


def _print_table(head: Sequence[str], rows: Any) -> None:
    table = Table(*head, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console()
    if not console.is_terminal:
        console.width = _WIDEST
    console.print(table)


def _person_cells(person: PersonSummary) -> list[object]:
    return [
        person.person_id,
        " ".join(person.camids),
        person.num_tracklets,
        person.num_observations,
        _moment(person.start_us),
        _moment(person.end_us),
    ]


def _match_cells(match: PersonMatch) -> list[object]:
    return [
        f"{match.similarity:.3f}",
        "yes" if match.is_match else "no",
        match.camid,
        *_person_cells(match.person),
    ]


def _edge_cells(edge: EdgeSummary) -> list[object]:
    return [
        edge.edge_id,
        "yes" if edge.is_connected else "no",
        " ".join(edge.camids),
        edge.num_observations,
        edge.acked_seq,
        _moment(edge.last_seen_us) if edge.last_seen_us else "never",
    ]


def _tracklet_cells(tracklet: TrackletSummary) -> list[object]:
    return [
        tracklet.camera.edge_id,
        tracklet.camera.camid,
        tracklet.tracklet_id,
        tracklet.person_id,
        tracklet.num_observations,
        _moment(tracklet.start_us),
        _moment(tracklet.end_us),
    ]


def _moment(time_us: int) -> str:
    try:
        return datetime.fromtimestamp(time_us / 1e6, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_us} us"  # an edge's clock may say anything


def _tracklet_to_json(tracklet: TrackletSummary) -> dict[str, Any]:
    values = asdict(tracklet)
    del values["camera"]
    for sighting in values["sightings"]:
        sighting["box"] = list(sighting["box"])
    return {**tracklet.camera._asdict(), **values}


def _status_to_json(state: ServerStatus) -> dict[str, Any]:
    values = asdict(state)
    totals = values.pop("totals")
    edges = values.pop("edges")
    return {**values, **totals, "edges": edges}
