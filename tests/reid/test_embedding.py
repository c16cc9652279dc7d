from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reid.embedding import normalise, pack, unpack
from reid.errors import EmbeddingError


def test_rows_get_norm_one() -> None:
    np.testing.assert_allclose(normalise(np.array([[3.0, 4.0], [0.0, 2.0]])), [[0.6, 0.8], [0.0, 1.0]], rtol=1e-6)


def test_features_whose_squares_overflow_halves_are_fine() -> None:
    feats = np.full((1, 512), 300.0, dtype=np.float16)
    np.testing.assert_allclose(np.linalg.norm(normalise(feats)), 1.0, rtol=1e-6)


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], ids=["zero", "nan", "inf"])
def test_a_row_without_direction_is_named(row: list[float]) -> None:
    with pytest.raises(EmbeddingError, match=r"1 of 2 .*first: row 1"):
        normalise(np.array([[1.0, 0.0], row]))


def test_packed_size_is_two_bytes_a_number() -> None:
    assert len(pack(normalise(np.ones((1, 512)))[0])) == 1024


finite_rows = arrays(np.float32, 16, elements=st.floats(-1e3, 1e3, width=32)).filter(lambda v: np.linalg.norm(v) > 1e-3)


@given(finite_rows)
def test_the_wire_keeps_direction_and_norm(values: np.ndarray) -> None:
    embedding = normalise(values[None])[0]
    back = unpack(pack(embedding), dim=16)
    assert abs(float(np.linalg.norm(back)) - 1.0) < 1e-6
    assert float(back @ embedding) > 0.99999


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 6, "has 6 bytes, wanted 8"),
        (b"\0" * 8, "norm 0"),
        (np.array([2, 0, 0, 0], "<f2").tobytes(), "norm 2, wanted 1"),
        (np.array([np.nan, 0, 0, 0], "<f2").tobytes(), "norm nan"),
        (np.array([np.inf, 0, 0, 0], "<f2").tobytes(), "norm inf"),
    ],
    ids=["size", "zero", "norm", "nan", "inf"],
)
def test_hostile_bytes_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        unpack(content, dim=4)
