"""The step that makes a candidate release: a training in a process of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from reid.errors import ReleaseError
from reid.release import Release, load_release
from server.adaptation.command import fill
from server.adaptation.folder import AdaptationFolder
from server.adaptation.loop import Save
from server.adaptation.run import AdaptationRun, next_step
from server.adaptation.settings import AdaptationSettings
from server.adaptation.watch import JobWatch
from server.errors import AdaptationError


class Training:
    """Trains on a run's snapshot.

    Args:
        watch: Of the process.
        settings: What to start.
        release: A registered release, by its space.
        versions: Versions that releases of a name have already.
        folder: That of a run, by its number.
        clock_us: Microseconds since the Unix epoch.
    """

    def __init__(
        self,
        watch: JobWatch,
        settings: AdaptationSettings,
        *,
        release: Callable[[str], Release],
        versions: Callable[[str], Collection[str]],
        folder: Callable[[int], AdaptationFolder],
        clock_us: Callable[[], int],
    ) -> None:
        self._watch = watch
        self._settings = settings
        self._release = release
        self._versions = versions
        self._folder = folder
        self._clock_us = clock_us

    async def take(self, run: AdaptationRun, save: Save) -> AdaptationRun:
        """See `Step`."""
        folder = self._folder(run.run_key)
        parent = self._release(run.parent)
        run = await self._watch.to_end(run, folder, lambda _: self._command(folder, parent), save)
        release = _checked(folder, run)
        run = replace(run, space=release.manifest.space)
        return next_step(run, "gating", message=f"{release.ref} is judged", now_us=self._clock_us())

    async def halt(self, run: AdaptationRun) -> None:
        """See `Step`."""
        await self._watch.halt(run, self._folder(run.run_key))

    def _command(self, folder: AdaptationFolder, parent: Release) -> Sequence[str]:
        manifest = parent.manifest
        values: dict[str, str | int | Sequence[str]] = {
            "python": sys.executable,
            "snapshot": str(folder.snapshot),
            "init": str(parent.folder.resolve()),
            "out": str(folder.run),
            "version": next_version(manifest.version, self._versions(manifest.name)),
            "epochs": self._settings.epochs,
            "method": self._settings.recipe,
            "source": self._settings.source.words,
            "resume": "--resume" if folder.can_resume() else "",
        }
        return fill(self._settings.command, values)


def next_version(version: str, taken: Collection[str]) -> str:
    """The first version after a release's own that no other has: its last number raised.

    Args:
        version: Such as 0.1.0.
        taken: Of all releases of its name.
    """
    match = re.search(r"\d+$", version)
    head, number = (f"{version}.", 1) if match is None else (version[: match.start()], int(match[0]))
    while True:
        number += 1
        if (candidate := f"{head}{number}") not in taken:
            return candidate


def _checked(folder: AdaptationFolder, run: AdaptationRun) -> Release:
    """The release that the training left behind.

    Raises:
        AdaptationError: There is none, or it is not of this run.
    """
    try:
        release = load_release(folder.release)
    except (ReleaseError, OSError) as error:
        raise AdaptationError(f"the training left no usable release in {_short(folder.release)}: {error}") from None
    if release.manifest.parent != run.parent:
        raise AdaptationError(
            f"the training made a release with parent {release.manifest.parent}, this run began from {run.parent}: "
            "adaptation.command must start from {init}"
        )
    return release


def _short(path: Path) -> str:
    return str(Path(*path.parts[-4:]))
