"""The keys that sign what edges may run: one for each role of The Update Framework (TUF), private files in one folder.

    signing/ROLE-KEYID.key   Ed25519, PKCS8 in PEM, mode 0600; the signed root says which key a role has

The key of the root is needed to make another key known only: it may be kept elsewhere and put back for that.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, cast, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field
from securesystemslib.signer import CryptoSigner

from reid.credentials import check_private
from reid.errors import CredentialsError
from reid.files import write_atomic
from reid.settings import Settings
from server.errors import SecurityError

SigningRole = Literal["root", "targets", "snapshot", "timestamp"]
SIGNING_ROLES: tuple[SigningRole, ...] = get_args(SigningRole)
_PRIVATE = 0o600
_KEYID_LETTERS = 16


class SigningSettings(Settings):
    """How long what was signed is good. An edge takes nothing that has ended: it may be an old state, played back."""

    timestamp_hours: float = Field(default=24.0, gt=0)
    """Says which state of the repository is the latest; while no server runs, edges take updates for so long."""
    timestamp_renewal_hours: float = Field(default=4.0, gt=0)
    """It is signed again when it is this old."""
    snapshot_days: float = Field(default=7.0, gt=0)
    """Says which versions belong together; signed again in the middle of its time."""
    targets_days: float = Field(default=90.0, gt=0)
    """Says which files there are; signed again in the middle of its time."""
    root_days: float = Field(default=365.0, gt=0)
    """Says whose signatures count."""
    root_warning_days: float = Field(default=60.0, gt=0)
    """With so little left, the root is signed again, or a warning is logged if its key is kept elsewhere."""
    check_s: float = Field(default=600.0, gt=0)
    """How often the server looks."""

    def lifetime_s(self, role: SigningRole) -> float:
        """How long a signature of this role is good, seconds."""
        days = {
            "root": self.root_days,
            "targets": self.targets_days,
            "snapshot": self.snapshot_days,
            "timestamp": self.timestamp_hours / 24,
        }
        return days[role] * 86_400

    def renewal_s(self, role: SigningRole) -> float:
        """It is signed again when less than this is left, seconds."""
        if role == "root":
            return self.root_warning_days * 86_400
        lifetime_s = self.lifetime_s(role)
        if role == "timestamp":
            return max(lifetime_s / 2, lifetime_s - self.timestamp_renewal_hours * 3600)
        return lifetime_s / 2


class SigningKeys:
    """The private keys at hand.

    Args:
        folder: Where they lie; made with the first key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, role: SigningRole) -> CryptoSigner:
        """Make another key for a role and write it down; the signed root must name it before it counts.

        Raises:
            OSError: It cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        signer = CryptoSigner.generate_ed25519()
        write_atomic(self._path(role, signer.public_key.keyid), signer.private_bytes, mode=_PRIVATE)
        return signer

    def has(self, role: SigningRole, keyids: Collection[str]) -> bool:
        """Whether one of these keys of a role is at hand."""
        return any(self._path(role, keyid).is_file() for keyid in keyids)

    def signer(self, role: SigningRole, keyids: Collection[str]) -> CryptoSigner:
        """What signs for a role.

        Args:
            role: The role.
            keyids: Of the keys that the signed root names for it.

        Raises:
            SecurityError: None of these keys is at hand, or it is damaged, or others can read it.
        """
        for path in (self._path(role, keyid) for keyid in keyids):
            if path.is_file():
                return _read(path)
        wanted = ", ".join(self._path(role, keyid).name for keyid in sorted(keyids))
        way_out = (
            "put it back for this, and take it away again after"
            if role == "root"
            else f"put it back, or make a new one with 'osprey-server signing rotate {role}'"
        )
        raise SecurityError(f"the {role} key is not in {self.folder}: wanted {wanted}; {way_out}")

    def keep_only(self, role: SigningRole, keyids: Collection[str]) -> None:
        """Delete all other keys of a role: nothing that they sign counts any more."""
        kept = {self._path(role, keyid) for keyid in keyids}
        for path in self.folder.glob(f"{role}-*.key"):
            if path not in kept:
                path.unlink()

    def _path(self, role: SigningRole, keyid: str) -> Path:
        return self.folder / f"{role}-{keyid[:_KEYID_LETTERS]}.key"


def _read(path: Path) -> CryptoSigner:
    try:
        check_private(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
        return CryptoSigner(cast(Ed25519PrivateKey, key))
    except CredentialsError as error:
        raise SecurityError(str(error)) from None
    except (OSError, ValueError, TypeError) as error:
        raise SecurityError(f"signing key {path} cannot be read: {error}; put back an intact copy") from None
