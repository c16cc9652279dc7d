from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.alignment import Alignments, align, fit_alignment, is_orthogonal
from reid.embedding import normalise
from reid.errors import ReleaseError
from reid.types import FloatArray

DIM = 8


def rotation(seed: int, dim: int = DIM) -> FloatArray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0].astype(np.float32)


def embeddings(seed: int, num: int = 40) -> FloatArray:
    return normalise(np.random.default_rng(seed).standard_normal((num, DIM)))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_rotation_is_found_again(seed: int) -> None:
    old, matrix = embeddings(seed), rotation(seed + 1)
    assert np.allclose(fit_alignment(old, old @ matrix), matrix, atol=1e-4)


def test_a_fit_is_orthogonal_however_noisy_and_few_the_crops() -> None:
    for num in (1, 3, 40):
        assert is_orthogonal(fit_alignment(embeddings(1, num), embeddings(2, num)))


def test_a_fit_needs_embeddings_of_the_same_crops() -> None:
    with pytest.raises(ValueError, match="wanted the same"):
        fit_alignment(embeddings(1, 3), embeddings(2, 4))
    with pytest.raises(ValueError, match="N > 0"):
        fit_alignment(embeddings(1)[:0], embeddings(2)[:0])


def test_aligned_rows_are_units_and_keep_their_cosines() -> None:
    old = embeddings(3)
    new = align(old, rotation(4))
    assert np.allclose(np.linalg.norm(new, axis=1), 1.0, atol=1e-6)
    assert np.allclose(new @ new.T, old @ old.T, atol=1e-5)


@pytest.mark.parametrize(
    "matrix",
    [2 * rotation(1), rotation(1)[:, :4], np.full((DIM, DIM), np.nan, dtype=np.float32), np.ones(DIM, np.float32)],
    ids=["scaled", "not square", "nan", "a vector"],
)
def test_what_is_no_rotation_is_seen(matrix: FloatArray) -> None:
    assert not is_orthogonal(matrix)


def family() -> Alignments:
    """Of a came b, and c of that; of a came d, too; of x, a stranger, y."""
    links = {"b": ("a", rotation(1)), "c": ("b", rotation(2)), "d": ("a", rotation(3)), "y": ("x", rotation(4))}
    return Alignments(links)


def test_a_chain_composes() -> None:
    assert np.allclose(family().between("a", "c"), rotation(1) @ rotation(2), atol=1e-6)


def test_the_way_back_undoes_the_way_there() -> None:
    there, back = family().between("d", "c"), family().between("c", "d")
    assert there is not None
    assert back is not None
    assert np.allclose(there @ back, np.eye(DIM), atol=1e-6)
    assert np.allclose(there, rotation(3).T @ rotation(1) @ rotation(2), atol=1e-6)


def test_a_space_needs_no_map_into_itself() -> None:
    assert family().between("c", "c") is None
    assert Alignments().between("unheard of", "unheard of") is None


def test_strangers_are_not_joined() -> None:
    assert not family().connects("a", "x")
    assert family().connected("d") == {"a", "b", "c", "d"}
    assert Alignments().connected("alone") == {"alone"}
    with pytest.raises(ReleaseError, match="no chain of releases"):
        family().between("y", "c")


def test_a_link_joins_families() -> None:
    joined = family().with_link("x", "c", rotation(5))
    assert joined.connects("y", "d")
    assert joined.knows("y")
    assert not family().connects("y", "d")


def test_no_space_is_its_own_ancestor() -> None:
    with pytest.raises(ReleaseError, match="its own ancestor"):
        family().with_link("a", "c", rotation(5))
