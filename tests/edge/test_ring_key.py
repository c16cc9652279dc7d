from __future__ import annotations

import stat

import pytest

from edge.errors import RingError
from edge.ring_key import RingCipher, secret_beside

SECRET, SALT = b"s" * 32, b"n" * 16


def test_what_is_sealed_is_unreadable_and_opens_again():
    cipher = RingCipher(SECRET, SALT)
    sealed = cipher.seal(b"a person", label=b"7")
    assert b"a person" not in sealed
    assert cipher.unseal(sealed, label=b"7") == b"a person"


def test_the_same_content_is_sealed_differently_each_time():
    cipher = RingCipher(SECRET, SALT)
    assert cipher.seal(b"a person", label=b"7") != cipher.seal(b"a person", label=b"7")


@pytest.mark.parametrize(
    ("alter", "label"),
    [
        (lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]), b"7"),
        (lambda sealed: sealed[:5], b"7"),
        (lambda sealed: b"", b"7"),
        (lambda sealed: sealed, b"8"),
    ],
    ids=["flipped", "cut", "empty", "label"],
)
def test_what_was_altered_is_not_opened(alter, label):
    cipher = RingCipher(SECRET, SALT)
    with pytest.raises(RingError, match="altered on the disk"):
        cipher.unseal(alter(cipher.seal(b"a person", label=b"7")), label=label)


@pytest.mark.parametrize(("secret", "salt"), [(b"x" * 32, SALT), (SECRET, b"x" * 16)], ids=["secret", "salt"])
def test_another_key_is_told_by_its_check_and_opens_nothing(secret, salt):
    sealed = RingCipher(SECRET, SALT).seal(b"a person", label=b"")
    other = RingCipher(secret, salt)
    assert other.key_check != RingCipher(SECRET, SALT).key_check
    with pytest.raises(RingError):
        other.unseal(sealed, label=b"")


def test_a_machine_keeps_its_secret_to_itself(tmp_path):
    path = tmp_path / "key"
    secret = secret_beside(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (len(secret), secret_beside(path)) == (32, secret)


@pytest.mark.parametrize(("content", "mode"), [(b"short", 0o600), (b"x" * 32, 0o644)], ids=["damaged", "open"])
def test_a_secret_that_is_none_is_replaced(tmp_path, content, mode):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    secret = secret_beside(path)
    assert secret != content
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (secret, 0o600)
