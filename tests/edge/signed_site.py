"""A site that signs releases, made with python-tuf by its own rules, as a dict of files; its keys are at hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from reid.release import FILES, MANIFEST_FILE, MODEL_FILES, Release

ROLES = ("root", "targets", "snapshot", "timestamp")
_FILES = (MANIFEST_FILE, *FILES, MODEL_FILES["fp16"], MODEL_FILES["int8"])


def in_days(days: float) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)


class SignedSite:
    """What a server publishes.

    Attributes:
        files: By path on the wire.
        signers: The keys that sign, by role.
        first_root: What came with the bundle.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        self.root = Root(consistent_snapshot=True, expires=in_days(365))
        for role, signer in self.signers.items():
            self.root.add_key(signer.public_key, role)
        self.targets = Targets(version=1, expires=in_days(90))
        self.snapshot = Snapshot(version=1, expires=in_days(7))
        self.timestamp = Timestamp(version=1, expires=in_days(1))
        self.write_root()
        self.first_root = self.files["metadata/1.root.json"].decode()
        self.sign()

    def publish(self, release: Release, *, space: str = "") -> None:
        """Sign a release, under its own name or another one."""
        for name in _FILES:
            path = release.folder / name
            if path.is_file():
                self.add_target(f"{space or release.ref.space}/{name}", path.read_bytes())
        self.sign()

    def add_target(self, path: str, content: bytes) -> None:
        target = TargetFile.from_data(path, content, ["sha256"])
        self.targets.targets[path] = target
        self.files[self.url_of(path)] = content

    def url_of(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"targets/{folder}/{self.targets.targets[path].hashes['sha256']}.{name}"

    def sign(self) -> None:
        """A new version of everything but the root."""
        self.write_targets()
        self.write_snapshot()
        self.write_timestamp()

    def write_root(self, *also: CryptoSigner) -> None:
        self.files[f"metadata/{self.root.version}.root.json"] = self.signed(self.root, self.signers["root"], *also)

    def write_targets(self) -> None:
        self.targets.version += 1
        content = self.signed(self.targets, self.signers["targets"])
        self.files[f"metadata/{self.targets.version}.targets.json"] = content

    def write_snapshot(self) -> None:
        self.snapshot.version += 1
        content = self.files[f"metadata/{self.targets.version}.targets.json"]
        self.snapshot.meta["targets.json"] = MetaFile.from_data(self.targets.version, content, ["sha256"])
        content = self.signed(self.snapshot, self.signers["snapshot"])
        self.files[f"metadata/{self.snapshot.version}.snapshot.json"] = content

    def write_timestamp(self) -> None:
        self.timestamp.version += 1
        content = self.files[f"metadata/{self.snapshot.version}.snapshot.json"]
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, content, ["sha256"])
        self.files["metadata/timestamp.json"] = self.signed(self.timestamp, self.signers["timestamp"])

    def rotate(self, *roles: str) -> None:
        """Put new keys in the place of these roles' keys: a new root, signed by the old root's key and the new one."""
        former = self.signers["root"]
        self.root.version += 1
        for role in roles:
            self.root.revoke_key(self.signers[role].public_key.keyid, role)
            self.signers[role] = CryptoSigner.generate_ed25519()
            self.root.add_key(self.signers[role].public_key, role)
        self.write_root(former)

    @staticmethod
    def signed(content: Root | Targets | Snapshot | Timestamp, *signers: CryptoSigner) -> bytes:
        metadata = Metadata(content)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()
