from __future__ import annotations

import pytest

from server.types import MAX_CAMERAS, PrototypeRef


@pytest.mark.parametrize("ref", [(1, 0), (1, MAX_CAMERAS - 1), (2**40, 7)])
def test_prototype_keys_are_unique_and_fit_a_signed_64_bit_integer(ref: tuple[int, int]) -> None:
    key = PrototypeRef(*ref).prototype_key
    assert PrototypeRef.from_key(key) == ref
    assert 0 <= key < 2**63
