"""Config of a process: one TOML file, overridden by environment variables, overridden by the command line.

Settings classes are frozen pydantic models that derive from `Settings` and lie beside what they configure. Unknown keys
are errors that name the key and the nearest valid one. Environment variables are `PREFIX_SECTION__KEY`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reid.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Settings(BaseModel):
    """Base of all settings: frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(
    kind: type[SettingsT],
    *,
    path: Path | None = None,
    env_prefix: str,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> SettingsT:
    """Build settings from a file, the environment and overrides, later ones winning key by key.

    Args:
        kind: The settings class.
        path: A TOML file, or None for no file.
        env_prefix: Variables `{env_prefix}_A__B` set key `b` of section `a`.
        overrides: Nested values from the command line; None values are skipped.
        environ: The environment.

    Raises:
        ConfigError: The file is missing or no TOML, a key is unknown, or a value is invalid; all faults are named.
    """
    values: dict[str, Any] = _read_toml(path) if path else {}
    _merge(values, _from_environ(environ, env_prefix))
    _merge(values, overrides or {})
    return parse_settings(kind, values, source=str(path) if path else "settings")


def parse_settings(kind: type[SettingsT], values: Mapping[str, Any], *, source: str) -> SettingsT:
    """Build settings from nested values.

    Raises:
        ConfigError: A key is unknown or a value is invalid; `source` is named.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [_describe(kind, dict(fault)) for fault in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(faults)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _from_environ(environ: Mapping[str, str], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(f"{prefix}_"):
            continue
        *sections, key = name[len(prefix) + 1 :].lower().split("__")
        section = values
        for part in sections:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ConfigError(f"environment variable {name}: another variable gives {part!r} a value of its own")
        section[key] = text
    return values


def _merge(values: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping):
            below = values.get(key)
            merged = dict(below) if isinstance(below, dict) else {}
            _merge(merged, value)
            if merged or below is not None:
                values[key] = merged
        elif value is not None:
            values[key] = value


def _describe(kind: type[BaseModel], fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the whole"
    if fault["type"] != "extra_forbidden":
        came = "" if fault["type"] == "missing" else f" (came: {fault['input']!r})"
        return f"{place}: {fault['msg']}{came}"
    known = _keys_at(kind, fault["loc"][:-1])
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"unknown key '{place}': {hint}"


def _keys_at(kind: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model found by walking `location` down from `kind`; empty where that is no model."""
    model: Any = kind
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        arguments = getattr(field.annotation, "__args__", (field.annotation,))
        model = next((a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))
