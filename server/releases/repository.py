"""The signed repository of releases (The Update Framework, TUF), as edges download it.

    repository/metadata/N.root.json       whose signatures count; all versions stay
                        N.targets.json    files that edges may run, with length and hash: SPACE/FILE
                        N.snapshot.json   which versions belong together
                        timestamp.json    the latest snapshot; replaced last, so a change is seen whole or not at all
    repository/targets/SPACE/SHA256.FILE  consistent snapshots: a file never changes under its name

Everything is read from the disk each time and written under a file lock, so that `osprey-server signing rotate` and a
running server do not get in each other's way. What an attacker can and cannot do is in docs/updates.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import structlog
from tuf.api.metadata import TargetFile

from reid.files import fill_atomic, sync_folder
from reid.release import FILES, MANIFEST_FILE, MODEL_FILES, Release
from server.errors import ConflictError, NotFoundError
from server.releases.metadata import CHAIN, SignedMetadata
from server.releases.signing import SIGNING_ROLES, SigningKeys, SigningRole, SigningSettings

logger = structlog.get_logger(__name__)

REPOSITORY_FOLDER = "repository"
SIGNING_FOLDER = "signing"
_CHUNK_BYTES = 64 << 10
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
_SPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_FOLDERS = {"metadata": 2, "targets": 3}
"""Parts that a path in each of them has."""


@dataclass(frozen=True, kw_only=True)
class RoleState:
    """How one role stands.

    Attributes:
        role: Its name.
        version: Of its metadata.
        ends: When its signature ends, with zone.
        has_key: Its private key is at hand.
    """

    role: SigningRole
    version: int
    ends: datetime
    has_key: bool


class ReleaseRepository:
    """One site's repository.

    Args:
        data: The server's data folder.
        settings: How long signatures are good.
        clock: The time, with zone.
        check_owner: Called before every change; raises if another server owns the records of this site.

    All but `read` raise SecurityError if metadata or a key that is needed are missing or damaged.
    """

    def __init__(
        self,
        data: Path,
        settings: SigningSettings | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = data / REPOSITORY_FOLDER
        self.keys_folder = data / SIGNING_FOLDER
        self._metadata = SignedMetadata(
            self.folder / "metadata", SigningKeys(self.keys_folder), settings or SigningSettings(), clock
        )
        self._check_owner = check_owner

    def make(self) -> None:
        """Make keys and an empty repository, unless they are there; what an interrupted call began is finished.

        Raises:
            OSError: It cannot be written.
        """
        if self._metadata.is_made:
            return
        with self._changing():
            self._metadata.make()

    def root_text(self) -> str:
        """The newest root: what an edge trusts from its enrolment on."""
        return self._metadata.root_text()

    def publish(self, release: Release) -> None:
        """Let edges download a release, in the place of another of the same space; nothing happens if they can already.

        Raises:
            ConflictError: Its space is no name for a folder.
            OSError: The disk is full or broken; nothing is published.
        """
        space = check_space(release.manifest.space)
        wanted = {file.path: file for file in _target_files(release)}
        with self._changing():
            targets = self._metadata.targets()
            there = {path: file for path, file in targets.targets.items() if path.partition("/")[0] == space}
            self._copy_files(release, wanted.values())
            if there != wanted:
                others = {path: file for path, file in targets.targets.items() if path not in there}
                targets.targets = {**others, **wanted}
                self._metadata.sign(CHAIN, targets)
                logger.info("release published", space=space)

    def withdraw(self, space: str) -> None:
        """Take a release from the repository; nothing happens if it is not in it.

        Raises:
            OSError: It cannot be written.
        """
        with self._changing():
            targets = self._metadata.targets()
            gone = [path for path in targets.targets if path.partition("/")[0] == space]
            for path in gone:
                del targets.targets[path]
            if gone:
                self._metadata.sign(CHAIN, targets)
                shutil.rmtree(self.folder / "targets" / space, ignore_errors=True)
                logger.info("release withdrawn", space=space)

    def list_spaces(self) -> list[str]:
        """The releases that edges can download."""
        return sorted({path.partition("/")[0] for path in self._metadata.targets().targets})

    def renew(self) -> list[SigningRole]:
        """Sign again what ends soon, or what a changed key no longer vouches for; a root only if its key is at hand.

        Returns:
            The roles that were signed.

        Raises:
            OSError: It cannot be written.
        """
        renewed: list[SigningRole] = []
        if self._metadata.is_ending("root") and self._metadata.has_key("root"):
            with self._changing():
                self._metadata.sign_root()
            renewed.append("root")
        if due := self._metadata.roles_due():
            with self._changing():
                self._metadata.sign(due, self._metadata.targets())
            renewed.extend(due)
        return renewed

    def rotate(self, role: SigningRole) -> None:
        """Give a role a new key, and void the old one: for a key that may have been stolen.

        Raises:
            OSError: It cannot be written.
        """
        with self._changing():
            self._metadata.rotate(role)

    def states(self) -> list[RoleState]:
        """How each role stands."""
        signed = {role: self._metadata.current(role) for role in SIGNING_ROLES}
        return [
            RoleState(
                role=role,
                version=signed[role].version,
                ends=signed[role].expires,
                has_key=self._metadata.has_key(role),
            )
            for role in SIGNING_ROLES
        ]

    def warning(self) -> str:
        """What an operator must do before updates stop; empty if nothing."""
        if not self._metadata.is_ending("root") or self._metadata.has_key("root"):
            return ""
        return (
            f"the root of the signed releases ends on {self._metadata.root().expires:%Y-%m-%d}, and edges take no "
            f"updates from then on: put its key into {self.keys_folder}; the server signs it again then"
        )

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """A file in chunks, from an offset on.

        Args:
            path: `metadata/NAME` or `targets/SPACE/NAME`, as TUF's client makes it.
            offset: Bytes to leave out.

        Raises:
            NotFoundError: There is no such file.
        """
        parts = path.split("/")
        if len(parts) != _FOLDERS.get(parts[0]) or not all(map(_PART.fullmatch, parts)):
            raise NotFoundError(f"no file {path[:200]!r} in the repository of releases: wanted metadata/… or targets/…")
        try:
            with self.folder.joinpath(*parts).open("rb") as stream:
                stream.seek(min(offset, os.fstat(stream.fileno()).st_size))
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk
        except OSError:
            raise NotFoundError(f"no file {path[:200]!r} in the repository of releases") from None

    def _copy_files(self, release: Release, files: Collection[TargetFile]) -> None:
        for file in files:
            path = self.folder / "targets" / file.get_prefixed_paths()[0]
            if path.is_file() and path.stat().st_size == file.length:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with fill_atomic(path) as temporary:
                shutil.copyfile(release.folder / path.name.partition(".")[2], temporary)
        sync_folder(self.folder / "targets")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone among server and commands, and only while this site's records are ours."""
        self._check_owner()
        self.keys_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.keys_folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def check_space(space: str) -> str:
    """Return the space of a release if it is fit to name a folder.

    Raises:
        ConflictError: It is not.
    """
    if not _SPACE.fullmatch(space):
        raise ConflictError(
            f"space {space[:120]!r} cannot name a folder: wanted 1 to 100 letters, digits, '.', '_', '+' or '-', first "
            "a letter or digit; export the release under another name or version"
        )
    return space


def _target_files(release: Release) -> list[TargetFile]:
    """What edges need of a release: all but the weights to train further from and the map from its parent."""
    optional = [name for name in MODEL_FILES.values() if name not in FILES and (release.folder / name).is_file()]
    return [
        TargetFile.from_file(f"{release.manifest.space}/{name}", str(release.folder / name), ["sha256"])
        for name in (MANIFEST_FILE, *FILES, *optional)
    ]
