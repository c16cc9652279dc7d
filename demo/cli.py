"""The command `python -m demo`."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from demo.children import Child
from demo.errors import DemoError
from demo.plan import DemoPlan
from demo.run import console_in_words, run_demo
from demo.summary import Summary, summary_table
from reid.cli import new_app, print_error, print_json, run_app
from reid.settings import parse_settings
from simulation.site import SiteConfig

SHIPPED_RELEASE = Path(__file__).parent.parent / "models" / "osnet_x0_25_default"

_LOOK_S = 0.5

app = new_app("Server and edges on a simulated site, as separate processes on this machine.")


# Called without arguments it runs, unlike the other commands.
@app.command(no_args_is_help=False)
def demo(
    *,
    out: Annotated[
        Path | None, typer.Option(help="Empty or new folder for all results; default: a temporary one.")
    ] = None,
    duration_s: Annotated[float, typer.Option(help="Seconds of site time before the refresh, and after it.")] = 60.0,
    people: Annotated[int, typer.Option(help="People on the site.")] = 12,
    cameras: Annotated[int, typer.Option(help="Cameras, each with an edge of its own.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the site.")] = 7,
    difficulty: Annotated[str, typer.Option(help="easy, medium or hard: how alike people dress.")] = "medium",
    release: Annotated[Path, typer.Option(help="Release that server and edges run.")] = SHIPPED_RELEASE,
    refresh: Annotated[bool, typer.Option(help="Refresh the network in between.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Go on at the end, for the console, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON on stdout.")] = False,
) -> None:
    """Run the demo and print a summary; exit code 1 if embeddings were lost or miscounted."""
    keys = {"seed": seed, "num_people": people, "num_cameras": cameras, "duration_s": duration_s}
    site = parse_settings(SiteConfig, {**keys, "difficulty": difficulty}, source="demo")
    if not release.is_dir():
        raise DemoError(f"release {release} does not exist: give --release DIR (make one with 'osprey-train export')")
    plan = DemoPlan(
        site=site, release=release.resolve(), out=_prepare(out), watch_s=site.duration_s, has_refresh=refresh
    )
    signal.signal(signal.SIGTERM, _interrupt)

    def linger(summary: Summary, children: Sequence[Child]) -> None:
        _print(summary, as_json=as_json)
        Console(stderr=True).print(Text(f"{console_in_words(plan)}\nCtrl-C ends it"), soft_wrap=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                for child in children:
                    child.check()
                time.sleep(_LOOK_S)

    summary = run_demo(plan, Console(stderr=True), linger if keep else None)
    if not keep:
        _print(summary, as_json=as_json)
    failures = summary.failures()
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(1)


def _print(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json(summary.to_json())
    else:
        Console().print(summary_table(summary))


def main() -> None:
    """Entry point of `python -m demo`."""
    run_app(app)


def _prepare(out: Path | None) -> Path:
    """An empty folder.

    Raises:
        DemoError: It holds something: records of an earlier run would be counted again.
    """
    if out is None:
        return Path(tempfile.mkdtemp(prefix="osprey-demo-"))
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DemoError(f"folder {out} is not empty, and an earlier run in it would be counted again: give a new --out")
    return out.resolve()


def _interrupt(number: int, _frame: object) -> None:
    """SIGTERM unwinds like Ctrl-C, so that the children are stopped."""
    sys.exit(128 + number)
