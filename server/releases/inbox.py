"""Releases that were made elsewhere: received whole, judged by the gate or forced by an operator, then registered."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.files import write_json_atomic
from reid.release import FILES, MANIFEST_FILE, OPTIONAL_FILES, load_release
from reid.snapshot import SNAPSHOT_FILE
from server.errors import ConflictError, ProtocolError
from server.gate.settings import GateSettings
from server.gate.verdict import Verdict
from server.releases.registry import RegisteredRelease, ReleaseRegistry
from server.types import Actor

_NAMES = frozenset({*FILES, *OPTIONAL_FILES, MANIFEST_FILE})
_LARGEST_BYTES = 1 << 30
_PREFIX = ".incoming-"

Judge = Callable[[Path], Awaitable[Verdict]]


class Parcel:
    """A release that is being received.

    Args:
        folder: Empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = ""
        self._num_bytes = 0

    def add(self, file: str, chunk: bytes) -> None:
        """Take the next piece.

        Args:
            file: Begins this file; empty for more of the last one.
            chunk: The piece.

        Raises:
            ProtocolError: A release has no such file, it comes twice, or all together is too large.
            OSError: The disk is full or broken.
        """
        if file:
            if file not in _NAMES or (self.folder / file).exists():
                raise ProtocolError(
                    f"file {file[:100]!r}: wanted each file of a release once: {', '.join(sorted(_NAMES))}"
                )
            self._file = file
        self._num_bytes += len(chunk)
        if not self._file or self._num_bytes > _LARGEST_BYTES:
            raise ProtocolError(
                f"wanted the files of a release, each with its name first, of {_LARGEST_BYTES} bytes at most"
            )
        with (self.folder / self._file).open("ab") as stream:
            stream.write(chunk)


class ReleaseInbox:
    """Takes releases in.

    Args:
        registry: Where they go.
        judge: The gate, for a release folder.
    """

    def __init__(self, registry: ReleaseRegistry, judge: Judge) -> None:
        self._registry = registry
        self._judge = judge
        for leftover in registry.folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    @contextmanager
    def receive(self) -> Iterator[Parcel]:
        """A place for one release, gone after the block.

        Raises:
            OSError: The disk is full or broken.
        """
        self._registry.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._registry.folder, prefix=_PREFIX) as folder:
            yield Parcel(Path(folder))

    async def register(self, folder: Path, actor: Actor, *, force: bool) -> RegisteredRelease:
        """Have a release judged, and register it, refused or not.

        Args:
            folder: Of the release.
            actor: Who brings it.
            force: Do not ask the gate.

        Raises:
            ReleaseError: The folder is no release, altered, or damaged.
            ConflictError: Its space is another release's or no name for a folder, or there is nothing to judge it by.
            StorageError: It was not registered.
        """
        await asyncio.to_thread(load_release, folder)
        verdict = Verdict(is_accepted=True, checks=(), forced_by=actor.name) if force else await self._judge(folder)
        return await asyncio.to_thread(self._registry.register, folder, verdict)


async def judge_by_snapshot(candidate: Path, *, registry: ReleaseRegistry, runs: Path, bounds: GateSettings) -> Verdict:
    """Run the gate in a process of its own, on the newest snapshot that an adaptation run left.

    Args:
        candidate: Release folder.
        registry: Has its parent.
        runs: Folder of the adaptation runs.
        bounds: What a candidate has to reach.

    Raises:
        ConflictError: There is no snapshot, or the gate could not judge.
        NotFoundError: The candidate's parent is not registered.
    """
    snapshots = sorted(runs.glob(f"*/snapshot/{SNAPSHOT_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not snapshots:
        raise ConflictError(
            "there are no held-out crops to judge it by: import it while an adaptation run is under way, or judge it "
            "with 'osprey-server gate' where there are some, and import it with --force"
        )
    parent = registry.release(load_release(candidate).manifest.parent or registry.served())
    out, asked = candidate / "verdict.json", candidate / "bounds.json"
    write_json_atomic(asked, bounds.model_dump(mode="json"))
    words = {
        "--candidate": candidate,
        "--parent": parent.folder,
        "--snapshot": snapshots[-1].parent,
        "--bounds": asked,
        "--out": out,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "gate", *(str(word) for pair in words.items() for word in pair)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, stderr = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    try:
        return Verdict.from_json(json.loads(out.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        lines = stderr.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise ConflictError(f"the gate could not judge it: {lines[-1]}") from None
