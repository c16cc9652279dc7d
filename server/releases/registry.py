"""The releases of the site: whole folders under `releases/SPACE`; the records keep what manifest and gate say of them.

    released    may be rolled out
    refused     the gate said no; an operator can force it
    withdrawn   was rolled out and halted; an operator can force it, too

One release is served: the gallery is in its space. The first is the configured one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import structlog
from sqlalchemy import Engine, Row, delete, insert, select, update

from reid.alignment import Alignments
from reid.errors import ReleaseError
from reid.files import write_folder_atomic
from reid.release import FILES, MANIFEST_FILE, OPTIONAL_FILES, Manifest, Release, load_release
from reid.types import ReleaseRef
from server.errors import ConflictError, NotFoundError
from server.gate.verdict import Verdict
from server.releases.repository import check_space
from server.storage.database import explained
from server.storage.lease import Lease, owned_change
from server.storage.schema import releases

logger = structlog.get_logger(__name__)

RELEASES_FOLDER = "releases"
ReleaseState = Literal["released", "refused", "withdrawn"]


@dataclass(frozen=True, kw_only=True)
class RegisteredRelease:
    """A release that this site knows.

    Attributes:
        manifest: Of its folder.
        state: See the top of the file.
        is_served: The gallery is in its space.
        registered_us: Server's clock.
        verdict: Of the gate; None for one that it never saw.
        num_bytes: Of all of its files.
    """

    manifest: Manifest
    state: ReleaseState
    is_served: bool
    registered_us: int
    verdict: Verdict | None
    num_bytes: int

    @property
    def ref(self) -> ReleaseRef:
        """Its name, version and space."""
        return ReleaseRef(name=self.manifest.name, version=self.manifest.version, space=self.manifest.space)


class ReleaseRegistry:
    """All releases of one site. Any thread may use it.

    Args:
        engine: Made by `open_database`.
        folder: `releases` in the data folder.
        clock_us: Microseconds since the Unix epoch.
        lease: Checked in the transaction of every change.

    Every method may raise StorageError.
    """

    def __init__(
        self, engine: Engine, folder: Path, *, clock_us: Callable[[], int], lease: Lease | None = None
    ) -> None:
        self.folder = folder
        self._engine = engine
        self._clock_us = clock_us
        self._lease = lease

    def open_served(self, configured: Release) -> Release:
        """The release that is served: the configured one, until one that the gate judged was rolled out.

        From then on the registry decides, so that a newer version of this software with another default release does
        not take away what the site learnt; `release import` and `rollout start` bring another one.

        Raises:
            ConflictError: The configured release's space cannot name a folder.
            ReleaseError: The served release is damaged.
            OSError: The disk is full or broken.
        """
        space = configured.manifest.space
        served = next((release for release in self.list() if release.is_served), None)
        if served is None or served.verdict is None:
            if served is None or served.manifest != configured.manifest or not self._is_whole(configured):
                self._store(configured, None, "released")
                self.set_served(space)
        elif served.ref.space != space:
            logger.info(
                "a release that was rolled out is served, not the configured one", configured=str(configured.ref)
            )
        try:
            return self.release(self.served())
        except ReleaseError as error:
            raise ReleaseError(
                f"{error}. The records say that it is served: put back a copy of {self.folder}"
            ) from None

    def register(self, source: Path, verdict: Verdict) -> RegisteredRelease:
        """Copy a release in, with what the gate says of it. Again with the same files only the verdict changes.

        Args:
            source: A release folder, which is left as it is.
            verdict: Decides whether it may be rolled out.

        Raises:
            ReleaseError: The folder is no release, altered, or damaged.
            ConflictError: Its space cannot name a folder, or is taken by another release.
            OSError: The disk is full or broken; nothing is registered.
        """
        release = load_release(source)
        space = release.manifest.space
        before = self._find(space)
        if before and before.manifest != release.manifest:
            raise ConflictError(
                f"space {space!r} is that of another release, {before.ref.name} {before.ref.version}: give the new one "
                "another version"
            )
        is_released = verdict.is_accepted or (before is not None and before.is_served)
        self._store(release, verdict, "released" if is_released else "refused")
        return self.get(space)

    def force(self, space: str, operator: str) -> RegisteredRelease:
        """Let a refused or withdrawn release be rolled out; its verdict says who did.

        Raises:
            NotFoundError: There is no such release.
        """
        before = self.get(space)
        verdict = (before.verdict or Verdict(is_accepted=True, checks=())).forced(operator)
        self._change(space, state="released", document=_to_document(before.manifest, verdict, before.num_bytes))
        return self.get(space)

    def withdraw(self, space: str) -> None:
        """Nobody shall roll it out again without force."""
        self._change(space, state="withdrawn")

    def release(self, space: str) -> Release:
        """A release's folder, verified.

        Raises:
            NotFoundError: There is no such release.
            ReleaseError: It is damaged.
        """
        self.get(space)
        return load_release(self.folder / space)

    def get(self, space: str) -> RegisteredRelease:
        """What is known of a release.

        Raises:
            NotFoundError: There is no such release.
        """
        found = self._find(space)
        if found is None:
            raise NotFoundError(f"there is no release of space {space!r}: 'osprey-server release list' shows all")
        return found

    @explained
    def list(self) -> list[RegisteredRelease]:
        """All releases, oldest first."""
        query = select(releases).order_by(releases.c.registered_us, releases.c.space)
        with self._engine.connect() as connection:
            return [_to_release(row) for row in connection.execute(query)]

    def served(self) -> str:
        """Space of the release that is served.

        Raises:
            NotFoundError: None is yet.
        """
        for release in self.list():
            if release.is_served:
                return release.ref.space
        raise NotFoundError("no release is served yet: the server's first start registers the configured one")

    @explained
    def set_served(self, space: str) -> None:
        """The gallery is in this space from now on, after a restart too."""
        with owned_change(self._engine, self._lease) as connection:
            connection.execute(update(releases).values(is_served=releases.c.space == space))

    def alignments(self) -> Alignments:
        """How the spaces of all releases that were ever let to the edges hang together; without damaged ones."""
        links = {}
        for known in self.list():
            if known.state == "refused" or known.manifest.parent is None:
                continue
            try:
                matrix = self.release(known.ref.space).alignment
            except ReleaseError as error:
                logger.error("release is damaged: what was embedded before it is left out", error=str(error))
                continue
            if matrix is not None:
                links[known.ref.space] = (known.manifest.parent, matrix)
        return Alignments(links)

    @explained
    def _store(self, release: Release, verdict: Verdict | None, state: ReleaseState) -> None:
        space = check_space(release.manifest.space)
        before = self._find(space)
        num_bytes = self._copy(release, space)
        values = {
            **asdict(release.ref),
            "parent": release.manifest.parent,
            "state": state,
            "is_served": before is not None and before.is_served,
            "registered_us": before.registered_us if before else self._clock_us(),
            "document": _to_document(release.manifest, verdict, num_bytes),
        }
        with owned_change(self._engine, self._lease) as connection:
            connection.execute(delete(releases).where(releases.c.space == space))
            connection.execute(insert(releases).values(values))

    def _is_whole(self, release: Release) -> bool:
        try:
            return load_release(self.folder / release.manifest.space).manifest == release.manifest
        except ReleaseError:
            return False

    def _copy(self, release: Release, space: str) -> int:
        """Copy all files, durably; gives their bytes."""
        names = [*FILES, *(name for name in OPTIONAL_FILES if (release.folder / name).is_file()), MANIFEST_FILE]
        target = self.folder / space
        if release.folder.resolve() != target.resolve():
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_folder_atomic(target, replace=True) as temporary:
                for name in names:
                    shutil.copyfile(release.folder / name, temporary / name)
                    _sync(temporary / name)
                load_release(temporary)
        return sum((target / name).stat().st_size for name in names)

    @explained
    def _change(self, space: str, **values: Any) -> None:
        with owned_change(self._engine, self._lease) as connection:
            connection.execute(update(releases).where(releases.c.space == space).values(values))

    @explained
    def _find(self, space: str) -> RegisteredRelease | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(releases).where(releases.c.space == space)).one_or_none()
        return _to_release(row) if row is not None else None


def _to_document(manifest: Manifest, verdict: Verdict | None, num_bytes: int) -> str:
    judged = verdict.to_json() if verdict else None
    return json.dumps({"manifest": manifest.model_dump(mode="json"), "verdict": judged, "num_bytes": num_bytes})


def _to_release(row: Row[Any]) -> RegisteredRelease:
    document = json.loads(row.document)
    return RegisteredRelease(
        manifest=Manifest.model_validate(document["manifest"]),
        state=cast(ReleaseState, row.state),
        is_served=bool(row.is_served),
        registered_us=row.registered_us,
        verdict=Verdict.from_json(document["verdict"]) if document["verdict"] else None,
        num_bytes=document["num_bytes"],
    )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
