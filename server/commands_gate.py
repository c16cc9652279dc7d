"""`osprey-server gate`: judges a candidate release against its parent, without labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reid.cli import AsJson, print_json, transient_bar
from reid.embedder import OnnxEmbedder
from reid.errors import ConfigError, OspreyError
from reid.files import write_json_atomic
from reid.logs import configure_logs
from reid.release import load_release
from reid.settings import load_settings, parse_settings
from reid.snapshot import read_snapshot
from server.adaptation.examples import make_examples
from server.gate.judge import OnProgress, judge
from server.gate.settings import GateSettings
from server.gate.verdict import Check, Verdict
from server.settings import ENV_PREFIX

logger = structlog.get_logger(__name__)

_ENV_PREFIX = f"{ENV_PREFIX}_GATE_"


def gate(
    candidate: Annotated[Path, typer.Option(metavar="DIR", help="Release folder that is to be judged.")],
    parent: Annotated[Path, typer.Option(metavar="DIR", help="Release folder that it was trained from.")],
    snapshot: Annotated[Path, typer.Option(metavar="DIR", help="Snapshot; its held-out part is measured on.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict here, as JSON.")] = None,
    bounds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with bounds to use, by the keys of the section 'gate'.")
    ] = None,
    examples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what both find of some held-out crops here, as JSON.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads for embedding; 0 for one per core.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say whether a candidate release is better than its parent; refused is an answer, not an error."""
    configure_logs(level="warning")
    settings = _read_bounds(bounds)
    with _progress_bar() as on_progress:
        verdict = judge(
            candidate,
            load_release(parent),
            read_snapshot(snapshot),
            settings,
            num_threads=threads,
            on_progress=on_progress,
        )
    if out is not None:
        write_json_atomic(out, verdict.to_json())
    if examples is not None:
        _write_examples(examples, snapshot=snapshot, releases=(parent, candidate), num_threads=threads)
    if as_json:
        print_json(verdict.to_json())
    else:
        print_verdict(verdict)


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict with every check, for people."""
    table = Table("check", "value", "bound", "", "reason", box=None, pad_edge=False, header_style="bold")
    for check in verdict.checks:
        table.add_row(*_cells(check))
    console = Console()
    console.print(table)
    word, style = ("accepted", "bold green") if verdict.is_accepted else ("refused", "bold red")
    note = f", forced by {verdict.forced_by}" if verdict.forced_by else ""
    console.print(
        Text(f"{word}{note}: {len(verdict.checks) - len(verdict.failed)} of {len(verdict.checks)} checks passed", style)
    )


def add_gate_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.command()(gate)


def _write_examples(path: Path, *, snapshot: Path, releases: tuple[Path, Path], num_threads: int) -> None:
    """Write examples for people to look at; the verdict stands without them."""
    try:
        before, after = (OnnxEmbedder(load_release(folder), num_threads=num_threads) for folder in releases)
        found = make_examples(read_snapshot(snapshot), before, after)
        write_json_atomic(path, found.model_dump(mode="json"))
    except (OspreyError, OSError) as error:
        logger.warning("no examples are made", error=str(error))


def _cells(check: Check) -> list[Text]:
    value = "" if check.value is None else f"{check.value:.4g}"
    mark = Text("ok", "green") if check.is_passed else Text("failed", "bold red")
    return [Text(check.name), Text(value), Text(f"{check.bound:.4g}"), mark, Text(check.reason)]


def _read_bounds(path: Path | None) -> GateSettings:
    """Bounds from a file, or without one from the environment.

    Raises:
        ConfigError: The file cannot be read, is no JSON object, or has an unknown key or wrong value.
    """
    if path is None:
        return load_settings(GateSettings, env_prefix=_ENV_PREFIX)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read bounds from {path} as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}, wanted a JSON object of bounds by name")
    return parse_settings(GateSettings, values, source=str(path))


@contextmanager
def _progress_bar() -> Iterator[OnProgress]:
    """A bar on stderr, only on a terminal."""
    with transient_bar(is_shown=sys.stderr.isatty()) as progress:
        task = progress.add_task("judging crops", total=None)
        yield lambda num_done, num_crops: progress.update(task, completed=num_done, total=num_crops)
