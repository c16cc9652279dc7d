"""The back end that was found fastest, remembered beside the release, so that the next start need not measure again.

It holds for one model, machine and set of library versions; under any other key it is as if nothing was remembered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from edge.backends.registry import Backend
from reid.errors import ConfigError
from reid.files import write_json_atomic
from reid.machine import cpu_name
from reid.release import MODEL_FILES, Precision, Release
from reid.settings import Settings, parse_settings

logger = structlog.get_logger(__name__)


class ChoiceKey(Settings):
    """What a choice holds for."""

    asked: str
    """The setting `backend`."""
    model_sha256: Mapping[Precision, str]
    """Of each graph that came with the release."""
    cpu: str
    num_cores: int
    num_threads: int
    """The setting; 0 for one per core."""
    versions: Mapping[str, str]
    """Of each back end's library."""


class Choice(Settings):
    """A back end that was chosen."""

    key: ChoiceKey
    backend: str
    precision: Precision
    why: str
    """What was measured, in words."""


def choice_key(release: Release, *, asked: str, num_threads: int, backends: Mapping[str, Backend]) -> ChoiceKey:
    """The key of this moment: this machine, with what is installed now."""
    return ChoiceKey(
        asked=asked,
        model_sha256={one: release.manifest.sha256[MODEL_FILES[one]] for one in release.precisions},
        cpu=cpu_name(),
        num_cores=os.cpu_count() or 1,
        num_threads=num_threads,
        versions={name: backend.version() for name, backend in backends.items()},
    )


def choice_path(release: Release) -> Path:
    """The file beside the release's folder; inside it nothing is ever written."""
    folder = release.folder.resolve()
    return folder.with_name(f"{folder.name}.backend.json")


def remember(release: Release, choice: Choice) -> None:
    """Write a choice down; on a read-only disk it is measured again at the next start, and the log says so."""
    path = choice_path(release)
    try:
        write_json_atomic(path, choice.model_dump(mode="json"))
    except OSError as error:
        logger.info("choice of back end not remembered", file=str(path), problem=error.strerror)


def recall(release: Release, key: ChoiceKey) -> Choice | None:
    """The choice that was remembered for this key; None if there is none, for another key, or unreadable."""
    path = choice_path(release)
    try:
        choice = parse_settings(Choice, json.loads(path.read_text(encoding="utf-8")), source=str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ConfigError) as error:
        logger.warning("remembered choice of back end is unreadable", file=str(path), problem=str(error))
        return None
    return choice if choice.key == key and choice.backend in key.versions else None
