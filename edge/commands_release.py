"""`osprey-edge release install|list|rollback`: with the agent running, which then does the work, or without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.errors import InstallError
from edge.releases.listing import ReleaseRow, list_releases
from edge.releases.state import Outcome, ReleaseState, Request
from edge.releases.store import ReleaseSettings, ReleaseStore
from edge.spool import SpoolSettings
from reid.cli import AsJson, new_app, print_json
from reid.logs import configure_logs
from reid.settings import Settings, load_settings

_POLL_S = 0.2
_ALIVE_POLLS = 10
"""Whether the agent still runs is asked at every so many looks at the state."""

release_app = new_app("Change the release that the agent runs, between two frames.")

Config = Annotated[Path | None, typer.Option(help="The agent's TOML file.")]
Spool = Annotated[Path | None, typer.Option(help="The agent's spool, beside which its releases lie.")]
Folder = Annotated[Path | None, typer.Option("--releases", help="Folder of the agent's releases.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait for the outcome.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait for the outcome.")]


class _Place(Settings):
    """The part of an agent's settings that says where its releases are."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    spool: SpoolSettings = SpoolSettings()
    releases: ReleaseSettings = ReleaseSettings()


@release_app.command()
def install(
    folder: Annotated[Path, typer.Argument(help="A release folder; it is copied.")],
    *,
    config: Config = None,
    spool: Spool = None,
    releases: Folder = None,
    older: Annotated[bool, typer.Option("--older", help="Even if it is older than what runs.")] = False,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Put another release in the place of the running one; a bad one leaves the old one running.

    Without an agent the release is copied and waits: the agent installs it beside the old one when it starts.
    """
    store = _open_store(config, spool, releases)
    is_running = not _tidied(store)
    request, release = store.ask_to_install(folder, may_be_older=older)
    facts = {"release": str(release.ref), "key": request.key}
    if not is_running:
        _tell(as_json, {**facts, "verdict": "waits"}, f"{release.ref} is copied: installed when the agent starts")
    elif no_wait:
        _tell(as_json, {**facts, "verdict": "asked"}, f"{release.ref} is asked for")
    else:
        outcome = _wait(store, request, timeout)
        words = f"{release.ref} runs; crops waited for {outcome.gap_ms:g} ms at most"
        _tell(as_json, {**facts, "verdict": outcome.verdict, "gap_ms": outcome.gap_ms}, words)


@release_app.command()
def rollback(
    *,
    config: Config = None,
    spool: Spool = None,
    releases: Folder = None,
    no_wait: NoWait = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Go back to the release before the running one; during an install, end that and keep the old one."""
    store = _open_store(config, spool, releases)
    with store.held() as is_free:
        if is_free:
            store.recover()
            key = store.roll_back_now()
            _tell(as_json, {"key": key, "verdict": "confirmed"}, f"{key} starts with the agent")
            return
    request = store.ask_to_roll_back()
    if no_wait:
        _tell(as_json, {"key": request.key, "verdict": "asked"}, f"{request.key} is asked for")
        return
    outcome = _wait(store, request, timeout)
    _tell(as_json, {"key": request.key, "verdict": outcome.verdict, "gap_ms": outcome.gap_ms}, f"{request.key} runs")


@release_app.command(name="list")
def list_all(*, config: Config = None, spool: Spool = None, releases: Folder = None, as_json: AsJson = False) -> None:
    """Show what runs, what ran before, what failed and why."""
    store = _open_store(config, spool, releases)
    is_running = not _tidied(store)
    state = store.read_state()
    rows = list_releases(store, state)
    if as_json:
        listed = [row.to_json() for row in rows]
        print_json({"folder": store.folder, "agent_runs": is_running, "running": state.running, "releases": listed})
    else:
        Console().print(_view(store, state, rows, is_running=is_running), soft_wrap=True)


def _open_store(config: Path | None, spool: Path | None, folder: Path | None) -> ReleaseStore:
    configure_logs(level="error")
    overrides = {"spool": {"path": spool}, "releases": {"folder": folder}}
    place = load_settings(_Place, path=config, env_prefix="OSPREY_EDGE", overrides=overrides)
    place_of_it = place.releases.folder_beside(place.spool.path)
    if not place_of_it.is_dir():
        raise InstallError(
            f"no agent keeps releases in {place_of_it}: name the agent's --config, --spool or --releases; it makes the "
            "folder when it first runs"
        )
    return ReleaseStore(place_of_it, keep=place.releases.keep)


def _tidied(store: ReleaseStore) -> bool:
    """Whether no agent runs; then an install that it left unfinished is given up."""
    with store.held() as is_free:
        if is_free:
            store.recover()
        return is_free


def _wait(store: ReleaseStore, request: Request, timeout_s: float) -> Outcome:
    """Wait until the agent has an outcome, with a line that says how it goes.

    Raises:
        InstallError: It failed, or there is no outcome in time.
    """
    console = Console(stderr=True)
    with console.status(f"{request.key}: asked") as line:
        outcome = _poll(store, request, timeout_s, lambda phase: line.update(f"{request.key}: {phase}"))
    if outcome.verdict != "confirmed":
        running = store.read_state().running or "the configured release"
        raise InstallError(f"{request.key} was not taken: {outcome.reason}; {running} runs on")
    return outcome


def _poll(store: ReleaseStore, request: Request, timeout_s: float, tell: Callable[[str], None]) -> Outcome:
    until_s = time.monotonic() + timeout_s
    polls = 0
    while time.monotonic() < until_s:
        state = store.read_state()
        if (outcome := state.outcome(request.request_id)) is not None:
            return outcome
        tell(_phase(state, request))
        polls += 1
        if polls % _ALIVE_POLLS == 0 and _tidied(store) and store.read_request() is not None:
            raise InstallError(f"{request.key}: the agent has ended; this waits until it starts again")
        time.sleep(_POLL_S)
    raise InstallError(
        f"{request.key}: no outcome after {timeout_s:g} s ({_phase(store.read_state(), request)}); it goes on, "
        "'osprey-edge release list' shows how"
    )


def _phase(state: ReleaseState, request: Request) -> str:
    install = state.install
    return install.phase if install and install.request.request_id == request.request_id else "waits for the agent"


def _tell(as_json: bool, facts: dict[str, Any], words: str) -> None:
    if as_json:
        print_json(facts)
    else:
        typer.echo(words)


def _view(store: ReleaseStore, state: ReleaseState, rows: list[ReleaseRow], *, is_running: bool) -> Table:
    table = Table("release", "status", "space", "key", box=None, header_style="bold", title_justify="left")
    agent = "the agent runs" if is_running else "no agent runs"
    notes = [] if state.confirmed else ["nothing was installed yet: the configured release runs"]
    table.title = Text("; ".join([f"{store.folder}: {agent}", *notes]))
    for row in rows:
        table.add_row(*map(Text, (row.release, row.status, row.space, row.key)))
    reasons = [f"{row.key}: {row.reason}" for row in rows if row.reason]
    table.caption, table.caption_justify = Text("\n".join(reasons)), "left"
    return table
