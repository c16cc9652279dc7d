"""The signed metadata of the repository, role by role. `repository.py` says what lies where.

A change is seen when `timestamp.json` is replaced: what the files before it say counts only once it leads to them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from reid.files import write_atomic
from server.errors import SecurityError
from server.releases.signing import SIGNING_ROLES, SigningKeys, SigningRole, SigningSettings

CHAIN: tuple[SigningRole, ...] = ("targets", "snapshot", "timestamp")
"""Each names the version of the one before it."""
_KEPT_VERSIONS = 4
"""An edge that began to read before a change still finds what it began with."""


class SignedMetadata:
    """A folder of metadata. Not locked: the repository sees to that.

    Args:
        folder: Of the metadata.
        keys: That sign it.
        settings: How long signatures are good.
        clock: The time, with zone.

    What reads raises SecurityError if a file is missing or damaged; what signs also if a key is missing.
    """

    def __init__(
        self, folder: Path, keys: SigningKeys, settings: SigningSettings, clock: Callable[[], datetime]
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._settings = settings
        self._clock = clock

    @property
    def is_made(self) -> bool:
        """Whether there is a whole chain."""
        return (self._folder / "timestamp.json").is_file()

    def make(self) -> None:
        """Make a root with new keys, unless there is one, and sign an empty chain.

        Raises:
            OSError: It cannot be written.
        """
        if not self._newest_version("root"):
            self._make_root()
        self.sign(CHAIN, Targets(expires=self._end_of("targets")))

    def root(self) -> Root:
        """Whose signatures count."""
        return cast(Root, self._load("root").signed)

    def root_text(self) -> str:
        """The newest root as it is signed."""
        self.root()
        return self._current_path("root").read_text(encoding="utf-8")

    def targets(self) -> Targets:
        """Which files there are."""
        return cast(Targets, self._load("targets").signed)

    def current(self, role: SigningRole) -> Signed:
        """What is signed for a role now."""
        return cast(Signed, self._load(role).signed)

    def has_key(self, role: SigningRole) -> bool:
        """Whether a role's private key is at hand."""
        return self._keys.has(role, self._keyids(role))

    def sign(self, roles: Collection[SigningRole], targets: Targets) -> None:
        """Sign roles of the chain, and those after them; nobody sees any of it before the timestamp is replaced.

        Args:
            roles: At least one.
            targets: What is signed for that role, if it is among them, and what is current otherwise.

        Raises:
            OSError: It cannot be written; what was signed before stays.
        """
        first = min(map(CHAIN.index, roles))
        before = self._timestamp() if self.is_made else None
        snapshot_meta = before.snapshot_meta if before else None
        if first == 0:
            targets.version = self._newest_version("targets") + 1
            self._write("targets", targets)
        if first <= 1:
            version = self._newest_version("snapshot") + 1
            meta = {"targets.json": self._meta("targets", targets.version)}
            self._write("snapshot", Snapshot(version=version, meta=meta))
            snapshot_meta = self._meta("snapshot", version)
        self._write("timestamp", Timestamp(version=before.version + 1 if before else 1, snapshot_meta=snapshot_meta))
        self._prune()

    def sign_root(self) -> None:
        """Sign the same root for another while.

        Raises:
            OSError: It cannot be written.
        """
        self._write_root(self.root(), [self._signer("root")])

    def rotate(self, role: SigningRole) -> None:
        """Give a role a new key; nothing that the old one signs counts from now on.

        Raises:
            OSError: It cannot be written.
        """
        root, root_signer = self.root(), self._signer("root")
        new = self._keys.make(role)
        for keyid in tuple(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        root.add_key(new.public_key, role)
        self._write_root(root, [root_signer, new] if role == "root" else [root_signer])
        if role != "root":
            self.sign(CHAIN[CHAIN.index(role) :], self.targets())
        self._keys.keep_only(role, [new.public_key.keyid])

    def roles_due(self) -> list[SigningRole]:
        """Roles of the chain that end soon, or that a changed key no longer vouches for."""
        return [role for role in CHAIN if not self._is_vouched_for(role) or self.is_ending(role)]

    def is_ending(self, role: SigningRole) -> bool:
        """Whether it is time to sign a role again."""
        left_s = (self.current(role).expires - self._clock()).total_seconds()
        return left_s < self._settings.renewal_s(role)

    def _make_root(self) -> None:
        root = Root(expires=self._end_of("root"), consistent_snapshot=True, version=1)
        root.version = 0
        signers = {role: self._keys.make(role) for role in SIGNING_ROLES}
        for role, signer in signers.items():
            root.add_key(signer.public_key, role)
            self._keys.keep_only(role, [signer.public_key.keyid])  # others are of an interrupted call
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_root(root, [signers["root"]])

    def _write_root(self, root: Root, signers: Collection[CryptoSigner]) -> None:
        root.version += 1
        root.expires = self._end_of("root")
        metadata = Metadata(root)
        for signer in signers:
            metadata.sign(signer, append=True)
        write_atomic(self._folder / f"{root.version}.root.json", metadata.to_bytes())

    def _write(self, role: SigningRole, signed: Signed) -> None:
        signed.expires = self._end_of(role)
        metadata: Metadata[Any] = Metadata(cast(Any, signed))
        metadata.sign(self._signer(role))
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        write_atomic(self._folder / name, metadata.to_bytes())

    def _meta(self, role: SigningRole, version: int) -> MetaFile:
        """Names a signed file with its hash, so that one stolen key alone signs nothing that another vouches for."""
        content = (self._folder / f"{version}.{role}.json").read_bytes()
        return MetaFile.from_data(version, content, ["sha256"])

    def _is_vouched_for(self, role: SigningRole) -> bool:
        metadata = self._load(role)
        try:
            self.root().verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except RepositoryError:
            return False
        return True

    def _signer(self, role: SigningRole) -> CryptoSigner:
        return self._keys.signer(role, self._keyids(role))

    def _keyids(self, role: SigningRole) -> list[str]:
        return list(self.root().roles[role].keyids)

    def _end_of(self, role: SigningRole) -> datetime:
        return self._clock().replace(microsecond=0) + timedelta(seconds=self._settings.lifetime_s(role))

    def _timestamp(self) -> Timestamp:
        return cast(Timestamp, self._load("timestamp").signed)

    def _load(self, role: SigningRole) -> Metadata[Any]:
        path = self._current_path(role)
        try:
            return Metadata.from_bytes(path.read_bytes())
        except (OSError, DeserializationError) as error:
            raise SecurityError(
                f"the signed repository of releases is damaged, {path} cannot be read ({error}): put back a copy of "
                f"{self._folder.parent} and {self._keys.folder}"
            ) from None

    def _current_path(self, role: SigningRole) -> Path:
        """Where the timestamp leads to."""
        if role == "root":
            return self._folder / f"{self._newest_version('root')}.root.json"
        if role == "timestamp":
            return self._folder / "timestamp.json"
        if role == "snapshot":
            return self._folder / f"{self._timestamp().snapshot_meta.version}.snapshot.json"
        snapshot = cast(Snapshot, self._load("snapshot").signed)
        return self._folder / f"{snapshot.meta['targets.json'].version}.targets.json"

    def _newest_version(self, role: SigningRole) -> int:
        return max(map(_version_of, self._folder.glob(f"*.{role}.json")), default=0)

    def _prune(self) -> None:
        roles: tuple[SigningRole, ...] = ("targets", "snapshot")
        for role in roles:
            newest = self._newest_version(role)
            for path in self._folder.glob(f"*.{role}.json"):
                if _version_of(path) <= newest - _KEPT_VERSIONS:
                    path.unlink()


def _version_of(path: Path) -> int:
    number = path.name.partition(".")[0]
    return int(number) if number.isdecimal() else 0
