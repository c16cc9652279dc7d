"""What the three command lines share: how they start, how they report an error, how they print JSON.

Each of `edge/cli.py`, `server/cli.py` and `train/cli.py` has the same shape:

    app = new_app("One line that says what this command is for.")

    @app.command()
    def status(...) -> None: ...

    def main(arguments: Sequence[str] | None = None) -> None:
        \"\"\"Entry point of `osprey-edge`.\"\"\"
        run_app(app, arguments)

`pyproject.toml` points at `main`, and so does `__main__.py`. Answers go to stdout; errors, progress and logs to stderr.
Exit codes: 0 done, 2 wrong usage or an error that is explained in one line, 130 stopped by Ctrl-C. Commands just raise:
an `OspreyError` or `OSError` becomes one line, anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from reid.errors import OspreyError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


def new_app(help_text: str) -> typer.Typer:
    """Make a command line with the conventions of this project: plain tracebacks, help when called with nothing."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> None:
    """Run a command line and leave the process.

    Args:
        app: Made by `new_app`.
        arguments: Words after the program's name; None for those of the process.

    Raises:
        SystemExit: Always; with code 2 after an explained error.
    """
    try:
        app(args=None if arguments is None else list(arguments))
    except OspreyError as error:
        print_error(str(error))
    except OSError as error:
        print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(EXIT_ERROR)


def transient_bar(*, is_shown: bool = True) -> Progress:
    """A bar on stderr that vanishes when done: a task's description, how far it is, the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown)


def print_error(message: str) -> None:
    """Print `error: message` to stderr, red on a terminal."""
    _print_to_stderr("error: ", "bold red", message)


def print_warning(message: str) -> None:
    """Print `warning: message` to stderr, yellow on a terminal."""
    _print_to_stderr("warning: ", "yellow", message)


def print_json(value: Any) -> None:
    """Print one line of JSON to stdout; paths and numpy numbers are understood.

    Raises:
        TypeError: Something in it has no JSON form.
        ValueError: A number is not finite, which JSON cannot say.
    """
    sys.stdout.write(json.dumps(value, default=_to_json, allow_nan=False, ensure_ascii=False) + "\n")


def _print_to_stderr(label: str, style: str, message: str) -> None:
    # Built as Text: square brackets in a message are no markup, and long lines stay whole for logs and grep.
    Console(stderr=True).print(Text.assemble((label, style), message), soft_wrap=True)


def _to_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
