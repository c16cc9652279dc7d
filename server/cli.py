"""`osprey-server`: runs the server, and asks a running one."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import structlog
import typer

from reid.attributes import likely_attributes
from reid.cli import AsJson, new_app, print_json, run_app
from reid.errors import ConfigError, ImageError
from reid.files import write_atomic
from reid.logs import configure_logs
from reid.release import Release, load_release
from reid.settings import load_settings
from server.access import CredentialsOption, ServerOption, open_client
from server.api.messages import PersonMatch, ServerStatus
from server.api.serve import serve
from server.commands_adaptation import add_adaptation_commands
from server.commands_gate import add_gate_commands
from server.commands_ops import add_ops_commands
from server.commands_persons import add_person_commands
from server.commands_records import audit, backup, restore
from server.commands_releases import add_release_commands
from server.commands_security import add_security_commands
from server.commands_signing import add_signing_commands
from server.errors import NotFoundError
from server.moments import moment, read_moment
from server.settings import ENV_PREFIX, ServerSettings
from server.sheet import collect_rows, draw_sheet
from server.tables import print_table
from server.types import EVERYTHING, NO_PERSON, EdgeSummary, PersonSummary, TrackletSummary

_GC_THRESHOLDS = (100_000, 50, 100)
"""Persons and tracklets live long: looking through millions of them for cycles would stop everything for seconds."""

app = new_app("The central server: receives, matches, stores and searches embeddings.")
add_adaptation_commands(app)
add_ops_commands(app)
add_gate_commands(app)
add_person_commands(app)
add_release_commands(app)
add_security_commands(app)
add_signing_commands(app)
app.command()(backup)
app.command()(restore)
app.command()(audit)
logger = structlog.get_logger(__name__)

ProvisionalOption = Annotated[
    bool, typer.Option("--provisional", help="Also persons of whom too little was seen to be sure that they are one.")
]
CamerasOption = Annotated[
    list[str], typer.Option("--camera", help="Only sightings by this camera; may be given several times.")
]


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Folder of the records; made if missing.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = None,
    release: Annotated[Path | None, typer.Option(help="Release folder; default: the one shipped in models/.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these and more settings.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="No TLS and no roles, for this machine only: to try things out.")
    ] = False,
    metrics: Annotated[str | None, typer.Option(help="IP:PORT for Prometheus; '' for none.")] = None,
    web: Annotated[str | None, typer.Option(help="HOST:PORT of the console; default: none.")] = None,
    web_url_file: Annotated[Path | None, typer.Option(help="Write the console's URL here once it is served.")] = None,
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
        "insecure": insecure or None,
        "metrics": {"listen": metrics},
        "web": {"listen": web},
    }
    settings = load_settings(ServerSettings, path=config, env_prefix=ENV_PREFIX, overrides=overrides)
    asyncio.run(_run_until_signal(settings, load_release(settings.release), port_file, web_url_file))


@app.command()
def persons(
    provisional: ProvisionalOption = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """List all persons."""
    with open_client(server, credentials) as client:
        people = list(client.iter_persons(with_provisional=provisional))
    if as_json:
        print_json([asdict(person) for person in people])
        return
    print_table(["person", "cameras", "tracklets", "views", "first seen", "last seen"], map(_person_cells, people))


@app.command()
def search(
    image: Annotated[Path, typer.Option(help="Picture of one person, cropped.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="Most persons wanted.")] = 10,
    camera: CamerasOption = [],  # noqa: B006
    since: Annotated[str, typer.Option(help="Only sightings from this ISO date or time on, UTC.")] = "",
    until: Annotated[str, typer.Option(help="Only sightings until then.")] = "",
    provisional: ProvisionalOption = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Find the persons most like a picture."""
    try:
        content = image.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read picture {image}: {error.strerror}") from None
    span = _span(since, until)
    with open_client(server, credentials) as client:
        matches = client.search_image(content, top=top, camids=camera, span=span, with_provisional=provisional)
    if as_json:
        print_json([asdict(match) for match in matches])
        return
    head = ["similarity", "match", "in camera", "person", "cameras", "tracklets", "views", "first seen", "last seen"]
    is_described = any(match.attributes for match in matches)
    print_table([*head, *(["attributes"] if is_described else [])], map(_match_cells, matches))


@app.command()
def tracklets(
    person: Annotated[int, typer.Option(min=0, help="Only of this person; 0 for all.")] = NO_PERSON,
    sightings: Annotated[bool, typer.Option("--sightings", help="With every observation's time and box.")] = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """List tracklets: who was where, when."""
    with open_client(server, credentials) as client:
        found = list(client.iter_tracklets(person_id=person, with_sightings=sightings and as_json))
    if as_json:
        print_json([_tracklet_to_json(tracklet) for tracklet in found])
        return
    print_table(["edge", "camera", "tracklet", "person", "views", "start", "end"], map(_tracklet_cells, found))


@app.command()
def status(server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False) -> None:
    """Show what the server holds, and which edges are connected."""
    with open_client(server, credentials) as client:
        state = client.status()
    if as_json:
        print_json(_status_to_json(state))
        return
    shown = {**_status_to_json(state), "release": state.release, "started_at": moment(state.started_at_us)}
    for name, value in shown.items():
        if name not in ("edges", "started_at_us"):
            typer.echo(f"{name.removeprefix('num_').replace('_', ' '):>17}  {value}")
    print_table(
        ["edge", "connected", "cameras", "stored", "acknowledged up to", "last seen"],
        map(_edge_cells, state.edges),
    )


@app.command()
def sheet(
    crops: Annotated[list[Path], typer.Option(help="Folder of an edge's crops; may be given several times.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    max_rows: Annotated[int, typer.Option(min=1, help="Most persons shown.")] = 30,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
) -> None:
    """Write a contact sheet: one row per person, one crop per camera."""
    with open_client(server, credentials) as client:
        rows = collect_rows(client.iter_tracklets(), crops, max_rows=max_rows)
    if not rows:
        wanted = crops[0] / "CAMERA" / "TRACKLET.jpg"
        raise NotFoundError(f"no stored tracklet has a crop such as {wanted}: give the crop folders of the edges")
    write_atomic(out, cv2.imencode(".png", draw_sheet(rows))[1].tobytes())
    typer.echo(f"{out}: {len(rows)} persons")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `osprey-server`."""
    run_app(app, arguments)


async def _run_until_signal(
    settings: ServerSettings, release: Release, port_file: Path | None, web_url_file: Path | None
) -> None:
    gc.set_threshold(*_GC_THRESHOLDS)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def tell(address: str) -> None:
        gc.freeze()
        if port_file is not None:
            write_atomic(port_file, f"{address.rpartition(':')[2]}\n".encode())
        logger.info(f"listening on {address}", release=str(release.ref), data=str(settings.data))

    def tell_console(url: str) -> None:
        if web_url_file is not None:
            write_atomic(web_url_file, f"{url}\n".encode())

    await serve(settings, release, stop=stop, on_listening=tell, on_console=tell_console)


def _span(since: str, until: str) -> tuple[int, int] | None:
    if not since and not until:
        return None
    start_us = read_moment(since, option="--since") if since else EVERYTHING.start_us
    end_us = read_moment(until, option="--until") if until else EVERYTHING.end_us
    if end_us < start_us:
        raise ConfigError(f"--until {until} lies before --since {since}: wanted the earlier one in --since")
    return start_us, end_us


def _person_cells(person: PersonSummary) -> list[object]:
    return [
        f"{person.person_id} (provisional)" if person.is_provisional else person.person_id,
        " ".join(person.camids),
        person.num_tracklets,
        person.num_observations,
        moment(person.start_us),
        moment(person.end_us),
    ]


def _match_cells(match: PersonMatch) -> list[object]:
    return [
        f"{match.similarity:.3f}",
        "yes" if match.is_match else "no",
        match.camid,
        *_person_cells(match.person),
        *([", ".join(likely_attributes(match.attributes))] if match.attributes else []),
    ]


def _edge_cells(edge: EdgeSummary) -> list[object]:
    return [
        edge.edge_id,
        "yes" if edge.is_connected else "no",
        " ".join(edge.camids),
        edge.num_observations,
        edge.acked_seq,
        moment(edge.last_seen_us) if edge.last_seen_us else "never",
    ]


def _tracklet_cells(tracklet: TrackletSummary) -> list[object]:
    return [
        tracklet.camera.edge_id,
        tracklet.camera.camid,
        tracklet.tracklet_id,
        tracklet.person_id,
        tracklet.num_observations,
        moment(tracklet.start_us),
        moment(tracklet.end_us),
    ]


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
