"""How commands show rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDEST = 100_000
"""Columns that a table may take in a file or pipe, so that nothing wraps there; it takes only what it needs."""


def print_table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their heads."""
    table = Table(*head, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console()
    if not console.is_terminal:
        console.width = _WIDEST
    console.print(table)
