"""`osprey-server adapt …`: begin, watch, stop and resume adaptation runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from reid.cli import AsJson, new_app, print_json
from server.access import CredentialsOption, ServerOption, open_client_of
from server.adaptation.run import ACTIVE
from server.adaptation.view import RunView
from server.adaptation_client import AdaptationClient
from server.gate.verdict import Verdict
from server.moments import moment
from server.tables import print_table

EXIT_NOT_DONE = 1
"""The run that was waited for ended otherwise than well."""
_POLL_S = 1.0
_STATES = [*ACTIVE, "done"]

RunArgument = Annotated[
    int, typer.Argument(min=0, help="The run's number, as 'adapt list' tells; default: the latest.")
]

adapt_app = new_app("Adapt the network to this site, and watch how that goes.")


@adapt_app.command()
def run(
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit code 1 if that is not 'done'.")] = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Begin a run: crops from the edges, training, gate, roll-out. One at a time."""
    with _open(server, credentials) as client:
        view = client.start()
        _tell_or_wait(client, view, wait=wait, as_json=as_json)


@adapt_app.command("list")
def list_runs(server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False) -> None:
    """List all runs, the latest first."""
    with _open(server, credentials) as client:
        views = list(client.iter_runs())
    if as_json:
        print_json([_to_json(view) for view in views])
        return
    head = ["run", "state", "trigger", "by", "begun", "crops", "MiB", "release", "why"]
    print_table(head, map(_cells, views))


@adapt_app.command()
def show(
    run: RunArgument = 0, server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False
) -> None:
    """Show one run: crops, epochs, and the gate's verdict with its reasons."""
    with _open(server, credentials) as client:
        view = client.get(run)
    if as_json:
        print_json(_to_json(view))
    else:
        _print(view)


@adapt_app.command()
def stop(
    run: RunArgument = 0, server: ServerOption = "", credentials: CredentialsOption = None, as_json: AsJson = False
) -> None:
    """End a run and its training; 'adapt resume' goes on from the last finished epoch."""
    with _open(server, credentials) as client:
        _tell(client.stop(run), as_json=as_json)


@adapt_app.command()
def resume(
    run: RunArgument = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit code 1 if that is not 'done'.")] = False,
    server: ServerOption = "",
    credentials: CredentialsOption = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that failed or was stopped, where it was."""
    with _open(server, credentials) as client:
        _tell_or_wait(client, client.resume(run), wait=wait, as_json=as_json)


def add_adaptation_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.add_typer(adapt_app, name="adapt")


def _open(server: str, credentials: Path | None) -> AdaptationClient:
    return open_client_of(AdaptationClient, server, credentials)


def _tell_or_wait(client: AdaptationClient, view: RunView, *, wait: bool, as_json: bool) -> None:
    if not wait:
        _tell(view, as_json=as_json)
        return
    view = _wait(client, view)
    if as_json:
        print_json(_to_json(view))
    else:
        _print(view)
    if view.run.state != "done":
        raise SystemExit(EXIT_NOT_DONE)


def _wait(client: AdaptationClient, view: RunView) -> RunView:
    """Show how a run goes until it has ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        while view.run.is_active:
            progress.update(task, description=_doing(view), completed=_share(view))
            time.sleep(_POLL_S)
            view = client.get(view.run.run_key)
    return view


def _doing(view: RunView) -> str:
    run = view.run
    what = f"run {run.run_key} ({_STATES.index(run.state) + 1}/{len(_STATES) - 1}) {run.state}"
    if run.state == "collecting":
        return f"{what}: {run.num_crops_received}/{run.num_crops_wanted} crops"
    if run.state == "training" and view.epochs:
        epoch, figures = view.epochs[-1]
        return f"{what}: epoch {epoch} done, loss {figures.get('loss', 0.0):.3f}"
    return f"{what}: {run.message}"


def _share(view: RunView) -> float:
    run = view.run
    if run.state == "collecting":
        return (run.num_crops_received + run.num_crops_expired) / max(1, run.num_crops_wanted)
    return view.progress if run.state == "training" else 0.0


def _tell(view: RunView, *, as_json: bool) -> None:
    if as_json:
        print_json(_to_json(view))
    else:
        typer.echo(f"adaptation run {view.run.run_key} is {view.run.state}: {view.run.message}")


def _print(view: RunView) -> None:
    run = view.run
    shown = {
        "run": run.run_key,
        "state": run.state,
        "why": run.message,
        "trigger": f"{run.trigger}, by {run.actor}",
        "begun": moment(run.started_us),
        "changed": moment(run.changed_us),
        "from": run.parent,
        "release": run.space or "-",
        "crops": f"{run.num_crops_received} of {run.num_crops_wanted}, {run.num_crops_expired} expired, "
        f"{run.crop_bytes / 2**20:.1f} MiB",
        "training": f"{view.progress:.0%}",
        "roll-out": run.rollout_key or "-",
    }
    print_table(["", ""], shown.items())
    if view.epochs:
        names = [name for name in ("loss", "num_clusters", "noise_share", "duration_s") if name in view.epochs[-1][1]]
        rows = [[epoch, *(f"{figures.get(name, 0.0):.4g}" for name in names)] for epoch, figures in view.epochs]
        print_table(["epoch", *names], rows)
    if view.verdict is not None:
        _print_verdict(view.verdict)


def _print_verdict(verdict: Verdict) -> None:
    rows = [
        [
            "passed" if check.is_passed else "FAILED",
            check.name,
            "-" if check.value is None else f"{check.value:.4g}",
            f"{check.bound:.4g}",
            check.reason,
        ]
        for check in verdict.checks
    ]
    print_table(["gate", "check", "value", "bound", "reason"], rows)


def _cells(view: RunView) -> list[object]:
    run = view.run
    return [
        run.run_key,
        run.state,
        run.trigger,
        run.actor,
        moment(run.started_us),
        f"{run.num_crops_received}/{run.num_crops_wanted}",
        f"{run.crop_bytes / 2**20:.1f}",
        run.space or "-",
        run.message,
    ]


def _to_json(view: RunView) -> Mapping[str, Any]:
    inner = ("first_tracklet_key", "attempt", "num_losses", "resumes_in")
    values = {name: value for name, value in asdict(view.run).items() if name not in inner}
    return {
        **values,
        "progress": view.progress,
        "epochs": [{"epoch": epoch, **figures} for epoch, figures in view.epochs],
        "verdict": None if view.verdict is None else view.verdict.to_json(),
    }
