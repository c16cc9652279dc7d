"""How kept crops are encrypted: AES-256-GCM, each with its own random nonce, bound to what is said of it.

The key of a ring comes by HKDF from a secret of this machine and the ring's own salt. The secret is the private key of
the edge's bundle, so that a renewed bundle makes older crops unreadable; without a bundle it is a random file that
nobody else can read.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge.errors import RingError
from reid.credentials import check_private
from reid.errors import CredentialsError
from reid.files import write_atomic

SALT_BYTES = 16
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"osprey crop ring 1"


class RingCipher:
    """Seals and opens the crops of one ring.

    Args:
        secret: Of this machine.
        salt: Of the ring.

    Attributes:
        key_check: Equal for equal keys; tells nothing of the key.
    """

    key_check: bytes

    def __init__(self, secret: bytes, salt: bytes) -> None:
        derived = HKDF(algorithm=hashes.SHA256(), length=2 * _KEY_BYTES, salt=salt, info=_PURPOSE).derive(secret)
        self._aead = AESGCM(derived[:_KEY_BYTES])
        self.key_check = derived[_KEY_BYTES:]

    def seal(self, content: bytes, *, label: bytes) -> bytes:
        """Encrypt; `label` stays outside and must be the same at the opening."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, content, label)

    def unseal(self, sealed: bytes, *, label: bytes) -> bytes:
        """Decrypt.

        Raises:
            RingError: The content or its label was altered.
        """
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label)
        except (InvalidTag, ValueError):
            raise RingError("a kept crop was altered on the disk: it is not given out") from None


def secret_beside(path: Path) -> bytes:
    """Read the secret of a machine without a bundle; made when missing, unfit or open to others.

    Args:
        path: Its file.

    Raises:
        OSError: It cannot be read or written.
    """
    try:
        check_private(path)
        if len(secret := path.read_bytes()) == _KEY_BYTES:
            return secret
    except (CredentialsError, FileNotFoundError):
        pass
    write_atomic(path, secret := secrets.token_bytes(_KEY_BYTES), mode=0o600)
    return secret
