"""Command templates: how a training is started, here or elsewhere. Pure."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping, Sequence

PLACES = ("python", "snapshot", "init", "out", "version", "epochs", "method", "source", "resume")
_NEEDED = ("snapshot", "init", "out")


def check_command(template: str) -> None:
    """Complain about a template that cannot work.

    Raises:
        ValueError: It is no sequence of words, has an unknown place, or lacks one without which no release comes back.
    """
    parts = (part for word in shlex.split(template) for part in string.Formatter().parse(word))
    named = {name for _, name, _, _ in parts if name is not None}
    unknown = sorted(named - set(PLACES))
    if unknown:
        raise ValueError(f"unknown place {{{unknown[0]}}}, known: {', '.join(PLACES)} (a brace is written {{{{)")
    missing = [name for name in _NEEDED if name not in named]
    if missing:
        raise ValueError(f"lacks {{{missing[0]}}}: without {', '.join(_NEEDED)} no release can come of it")


def fill(template: str, values: Mapping[str, str | int | Sequence[str]]) -> Sequence[str]:
    """The words of a command.

    Args:
        template: Checked.
        values: By place. What is filled in is never taken apart; a word that stays empty is left out. A sequence makes
            several words of a place that stands alone, and one, quoted as a shell wants it, within another word.
    """
    joined = {place: value if isinstance(value, str | int) else shlex.join(value) for place, value in values.items()}
    words: list[str] = []
    for word in shlex.split(template):
        alone = values.get(word[1:-1]) if word.startswith("{") and word.endswith("}") else None
        words += [word.format_map(joined)] if alone is None or isinstance(alone, str | int) else alone
    return [word for word in words if word]


def has_place(template: str, place: str) -> bool:
    """Whether a command has something to fill in."""
    parts = (part for word in shlex.split(template) for part in string.Formatter().parse(word))
    return any(name == place for _, name, _, _ in parts)
