"""Engines that were built, kept on the disk: one file a key, whole or not there, thrown away when it is damaged.

A file is three parts: the line `OSPREY-ENGINE 1`, a line of JSON (`EngineHeader`: key, size and hash of the engine,
when it was built and of what), and the engine.

An engine holds for one graph, TensorRT version, device, profile and precision. One of another key is never opened. At
the bounds the one that was longest out of use goes first. On a read-only disk nothing is kept, and the log says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import structlog

from edge.errors import BackendError
from reid.errors import ConfigError
from reid.files import write_atomic
from reid.release import Precision
from reid.settings import Settings, parse_settings

logger = structlog.get_logger(__name__)

SUFFIX = ".engine"
_MAGIC = b"OSPREY-ENGINE 1\n"
_MOST_HEADER_BYTES = 1 << 16
_MOST_ENGINES = 24
_MOST_BYTES = 2 << 30


class EngineKey(Settings):
    """What an engine holds for."""

    onnx_sha256: str
    flavour: str
    """The module it was built with: `tensorrt` or `tensorrt_rtx`."""
    version: str
    """Of that module."""
    device: str
    """Name of the GPU; `none` for one that was built without."""
    capability: str
    """Of the GPU, for example `8.7`."""
    profile: str
    precision: Precision
    is_refittable: bool
    allows_tf32: bool
    recipe: int
    """`edge.backends.tensorrt.builder.RECIPE`."""

    def file_name(self) -> str:
        """Name of its file."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        return f"{self.precision}-{digest[:24]}{SUFFIX}"

    def differences(self, other: EngineKey) -> list[str]:
        """Fields in which another key differs, in words."""
        ours, theirs = self.model_dump(), other.model_dump()
        return [f"{name} {theirs[name]}, wanted {ours[name]}" for name in ours if ours[name] != theirs[name]]


class EngineHeader(Settings):
    """What stands at the head of an engine's file."""

    key: EngineKey
    name: str
    """Of the graph, for people."""
    plan_sha256: str
    plan_bytes: int
    built_at: str
    summary: Mapping[str, int]
    """What it was built of."""


@dataclass(frozen=True)
class CachedEngine:
    """An engine's file that was read and found whole.

    Attributes:
        header: Its head.
        plan: The engine.
    """

    header: EngineHeader
    plan: bytes


class EngineCache:
    """A folder of engines.

    Args:
        folder: Made when the first engine is stored.
        most_engines: Files that are kept.
        most_bytes: Their size together; the one stored last is kept however large.
    """

    def __init__(self, folder: Path, *, most_engines: int = _MOST_ENGINES, most_bytes: int = _MOST_BYTES) -> None:
        self.folder = folder
        self._most_engines = most_engines
        self._most_bytes = most_bytes

    def has(self, key: EngineKey) -> bool:
        """Whether there is a file for a key, whole or not."""
        return (self.folder / key.file_name()).is_file()

    def load(self, key: EngineKey) -> bytes | None:
        """The engine of a key; None if there is none. A file that is not what it says is thrown away."""
        path = self.folder / key.file_name()
        try:
            cached = read_engine(path)
        except FileNotFoundError:
            return None
        except (OSError, BackendError) as error:
            self._throw_away(path, str(error))
            return None
        differences = key.differences(cached.header.key)
        if differences:
            self._throw_away(path, f"built for another key: {'; '.join(differences)}")
            return None
        _touch(path)
        return cached.plan

    def store(self, key: EngineKey, plan: bytes, *, name: str, summary: Mapping[str, int]) -> Path | None:
        """Keep an engine; None where the disk does not take it, which the log says."""
        header = EngineHeader(
            key=key,
            name=name,
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            summary=summary,
        )
        path = self.folder / key.file_name()
        if not self._write(path, b"".join([_MAGIC, header.model_dump_json().encode(), b"\n", plan])):
            return None
        self._keep_within_bounds(path)
        return path

    def discard(self, key: EngineKey, reason: str) -> None:
        """Throw the engine of a key away, if there is one."""
        path = self.folder / key.file_name()
        if path.exists():
            self._throw_away(path, reason)

    def load_timing(self, key: EngineKey) -> bytes:
        """What earlier builds of the same TensorRT on the same device measured; empty if there were none."""
        try:
            return self._timing_path(key).read_bytes()
        except OSError:
            return b""

    def store_timing(self, key: EngineKey, content: bytes) -> None:
        """Keep what a build measured, if anything."""
        if content:
            self._write(self._timing_path(key), content)

    def paths(self) -> list[Path]:
        """Files of engines, the one used last first."""
        files = [path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
        return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _timing_path(self, key: EngineKey) -> Path:
        device = hashlib.sha256(f"{key.device} {key.capability}".encode()).hexdigest()
        return self.folder / f"{key.flavour}-{key.version}-{device[:12]}.timing"

    def _write(self, path: Path, content: bytes) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
        except OSError as error:
            logger.warning("engine not kept", file=str(path), problem=error.strerror)
            return False
        return True

    def _keep_within_bounds(self, newest: Path) -> None:
        self._remove_leftovers()
        num_bytes = 0
        for index, path in enumerate([newest, *(path for path in self.paths() if path != newest)]):
            num_bytes += path.stat().st_size
            if index and (index >= self._most_engines or num_bytes > self._most_bytes):
                self._throw_away(path, "the cache is full")

    def _remove_leftovers(self) -> None:
        """Remove what a power loss in the middle of a write left behind."""
        for path in self.folder.glob(f".*{SUFFIX}.*"):
            path.unlink(missing_ok=True)

    def _throw_away(self, path: Path, reason: str) -> None:
        logger.warning("engine thrown away", file=str(path), reason=reason)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("engine cannot be removed", file=str(path), problem=error.strerror)


def read_engine(path: Path) -> CachedEngine:
    """Read an engine's file, whole.

    Raises:
        BackendError: It is no engine of ours, of another format, truncated or altered.
        OSError: It is missing or cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BackendError(f"{path} is no engine of 'osprey-edge engine build', or of another format")
        header = _parse_header(file.readline(_MOST_HEADER_BYTES), path)
        plan = file.read()
    if len(plan) != header.plan_bytes:
        raise BackendError(f"{path} is truncated: {len(plan)} bytes of an engine, wanted {header.plan_bytes}")
    came = hashlib.sha256(plan).hexdigest()
    if came != header.plan_sha256:
        raise BackendError(f"{path} is damaged: sha256 {came[:12]}…, wanted {header.plan_sha256[:12]}…")
    return CachedEngine(header, plan)


def _parse_header(line: bytes, path: Path) -> EngineHeader:
    try:
        return parse_settings(EngineHeader, json.loads(line), source=str(path))
    except (ValueError, ConfigError) as error:
        raise BackendError(f"{path}: the head of the engine's file is damaged: {error}") from None


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError as error:
        logger.debug("use of engine not noted", file=str(path), problem=error.strerror)
