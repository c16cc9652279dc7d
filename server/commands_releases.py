"""`osprey-server release …` and `rollout …`: which releases there are, and how they get to the edges."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from reid.cli import AsJson, new_app, print_json
from reid.release import load_release
from server.access import CredentialsOption, ServerOption, open_client_of
from server.moments import moment
from server.release_client import ReleaseClient
from server.releases.card import card_of, differences, gate_word
from server.releases.registry import RegisteredRelease
from server.releases.view import RolloutView
from server.tables import print_table

EXIT_NOT_DONE = 1
"""Of `--wait`, and of an import that the gate refused."""
_POLL_S = 1.0

SpaceArgument = Annotated[str, typer.Argument(help="Space of a release, as 'osprey-server release list' names it.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Whatever the gate says; the audit log keeps who did it.")]

release_app = new_app("Look at releases of the network, and bring in others.")
rollout_app = new_app("Bring a release to the edges, ring by ring.")


def add_release_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.add_typer(release_app, name="release")
    app.add_typer(rollout_app, name="rollout")


@release_app.command("list")
def list_releases(server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False) -> None:
    """List the releases of the site, oldest first."""
    with _open(server, credentials) as client:
        found = client.list_releases()
    if as_json:
        print_json([card_of(release) for release in found])
        return
    print_table(
        ["space", "version", "state", "served", "parent", "registered", "gate"],
        [
            (
                release.ref.space,
                release.ref.version,
                release.state,
                "yes" if release.is_served else "no",
                release.manifest.parent or "-",
                moment(release.registered_us),
                gate_word(release.verdict),
            )
            for release in found
        ],
    )


@release_app.command()
def show(
    space: SpaceArgument, server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False
) -> None:
    """Show one release: manifest, size, and the gate's verdict with its reasons."""
    with _open(server, credentials) as client:
        release = client.get_release(space)
    if as_json:
        print_json(card_of(release))
        return
    _print_release(release)


@release_app.command()
def diff(
    one: SpaceArgument,
    other: SpaceArgument,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Show in what two releases differ: manifests, thresholds, metrics, sizes, verdicts."""
    with _open(server, credentials) as client:
        found = differences(client.get_release(one), client.get_release(other))
    if as_json:
        print_json([difference._asdict() for difference in found])
        return
    print_table(["", one, other], [(row.what, _shown(row.one), _shown(row.other)) for row in found])


@release_app.command("import")
def import_release(
    folder: Annotated[Path, typer.Argument(help="Release folder, such as 'osprey-train' writes.")],
    force: ForceOption = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Register a release that was made elsewhere; the gate judges it. Exit code 1 if it is refused."""
    release = load_release(folder)
    with _open(server, credentials) as client:
        known = client.import_release(release, force=force)
    if as_json:
        print_json(card_of(known))
    else:
        reason = f": {known.verdict.summary}" if known.verdict and known.verdict.failed else ""
        typer.echo(f"{known.ref.space}: {known.state}{reason}")
    if known.state == "refused":
        raise SystemExit(EXIT_NOT_DONE)


@rollout_app.command()
def start(
    space: SpaceArgument,
    force: ForceOption = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit code 1 if that is not 'done'.")] = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Bring a release to the edges: one first, then some, then all."""
    with _open(server, credentials) as client:
        view = client.start_rollout(space, force=force)
        if wait:
            view = _wait(client, view)
    _tell(view, as_json=as_json)
    if wait and view.state != "done":
        raise SystemExit(EXIT_NOT_DONE)


@rollout_app.command()
def pause(server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False) -> None:
    """Ask no further edge for now; those that were asked go on."""
    with _open(server, credentials) as client:
        _tell(client.pause_rollout(), as_json=as_json)


@rollout_app.command()
def resume(server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False) -> None:
    """Go on with a paused roll-out."""
    with _open(server, credentials) as client:
        _tell(client.resume_rollout(), as_json=as_json)


@rollout_app.command()
def abort(
    reason: Annotated[str, typer.Option(help="Why; the audit log keeps it.")] = "",
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """End a roll-out, and bring its edges back to the release before."""
    with _open(server, credentials) as client:
        _tell(client.abort_rollout(reason), as_json=as_json)


@rollout_app.command()
def status(
    rollout: Annotated[int, typer.Argument(min=0, help="Its number; 0 for the latest.")] = 0,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Show how a roll-out goes, edge by edge."""
    with _open(server, credentials) as client:
        view = client.get_rollout(rollout)
    _tell(view, as_json=as_json)


def _open(server: str, credentials: Path | None) -> ReleaseClient:
    return open_client_of(ReleaseClient, server, credentials)


def _wait(client: ReleaseClient, view: RolloutView) -> RolloutView:
    """Show how a roll-out goes until it has ended, or somebody paused it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        while view.state in ("running", "rolling_back"):
            installed = sum(edge.state == "installed" for edge in view.edges)
            what = f"{view.state}, ring {view.ring + 1} of {view.num_rings}: {installed} of {len(view.edges)} edges"
            progress.update(task, description=what, completed=installed, total=len(view.edges) or None)
            time.sleep(_POLL_S)
            view = client.get_rollout(view.rollout_key)
    return view


def _tell(view: RolloutView, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(view))
        return
    ring = f", ring {view.ring + 1} of {view.num_rings}" if view.is_active else ""
    reason = f" ({view.reason})" if view.reason else ""
    typer.echo(f"roll-out {view.rollout_key} of {view.release}: {view.state}{ring}{reason}")
    typer.echo(f"before: {view.previous}; started {moment(view.started_us)}, changed {moment(view.changed_us)}")
    print_table(
        ["edge", "ring", "state", "attends", "runs", "says"],
        [
            (
                edge.edge_id,
                edge.ring + 1,
                edge.state,
                "yes" if edge.is_attending else "no",
                edge.runs.space if edge.runs else "-",
                edge.message or "-",
            )
            for edge in view.edges
        ],
    )


def _print_release(release: RegisteredRelease) -> None:
    shown = {
        "release": release.ref,
        "state": release.state + (", served" if release.is_served else ""),
        "parent": release.manifest.parent or "-",
        "registered": moment(release.registered_us),
        "size": f"{release.num_bytes / 1e6:.1f} MB",
        "match threshold": f"{release.manifest.thresholds.match:.4f} ({release.manifest.thresholds.how})",
        **release.manifest.metrics,
        **release.manifest.provenance,
        "gate": release.verdict.summary if release.verdict and release.verdict.checks else gate_word(release.verdict),
    }
    print_table(["", ""], [(name, _shown(value)) for name, value in shown.items()])
    if release.verdict and release.verdict.checks:
        print_table(
            ["check", "value", "bound", "passed", "reason"],
            [
                (check.name, _shown(check.value), _shown(check.bound), "yes" if check.is_passed else "no", check.reason)
                for check in release.verdict.checks
            ],
        )


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
