"""Embeddings: normalised here and nowhere else, and packed for the wire as little-endian IEEE 754 halves.

An embedding is a unit-norm float32 vector of D numbers. Networks put out un-normalised features, since sums of squares
overflow in FP16.
"""

from __future__ import annotations

import numpy as np

from reid.errors import EmbeddingError
from reid.types import AnyArray, BoolArray, FloatArray

_HALF = np.dtype("<f2")
_NORM_TOLERANCE = 0.01
"""Largest deviation from norm 1 of what comes over the wire; halves of a unit vector stay within 0.001."""


def normalise(feats_BD: AnyArray) -> FloatArray:
    """Scale each row to norm 1.

    Args:
        feats_BD: (B, D) features of any float type.

    Returns:
        (B, D) float32, unit norm.

    Raises:
        EmbeddingError: A row is not finite, or is zero and so has no direction.
    """
    feats = np.asarray(feats_BD, dtype=np.float32)
    norms = np.linalg.norm(feats, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] <= 0))
    if bad.size:
        raise EmbeddingError(
            f"{bad.size} of {len(feats)} embeddings are zero or not finite (first: row {bad[0]}); "
            "the network overflowed or its input was broken"
        )
    return np.asarray(feats / norms, dtype=np.float32)


def pack(embedding: FloatArray) -> bytes:
    """Pack one unit-norm embedding (D,) into 2 D bytes."""
    return embedding.astype(_HALF).tobytes()


def unpack(content: bytes, *, dim: int) -> FloatArray:
    """Unpack what `pack` made, and normalise away the rounding.

    Returns:
        (D,) float32, unit norm.

    Raises:
        EmbeddingError: Wrong number of bytes, not finite, or the norm is not 1.
    """
    if len(content) != 2 * dim:
        raise EmbeddingError(f"embedding has {len(content)} bytes, wanted {2 * dim} ({dim} halves)")
    embedding = np.frombuffer(content, dtype=_HALF).astype(np.float32)
    norm = float(np.linalg.norm(embedding))
    if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # also catches NaN
        raise EmbeddingError(f"embedding has norm {norm:.4g}, wanted 1: the sender must normalise and check it")
    return embedding / np.float32(norm)


def unpack_rows(content: bytes, *, dim: int) -> tuple[FloatArray, BoolArray]:
    """Unpack many embeddings that lie behind one another; like `unpack`, but says which rows are wrong.

    Args:
        content: A multiple of 2 D bytes.
        dim: D.

    Returns:
        (N, D) float32, unit norm where (N,) bool is true; elsewhere the row had another norm or was not finite.
    """
    rows_ND = np.frombuffer(content, dtype=_HALF).astype(np.float32).reshape(-1, dim)
    norms_N = np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND))
    is_unit_N = np.abs(norms_N - 1.0) <= _NORM_TOLERANCE  # false for NaN
    rows_ND /= np.where(is_unit_N, norms_N, 1.0)[:, np.newaxis].astype(np.float32)
    return rows_ND, is_unit_N


def pack_rows(embeddings: list[FloatArray]) -> list[bytes]:
    """Pack many unit-norm embeddings (D,), each into 2 D bytes."""
    if not embeddings:
        return []
    halves_ND = np.stack(embeddings).astype(_HALF)
    content, size = halves_ND.tobytes(), halves_ND.shape[1] * 2
    return [content[first : first + size] for first in range(0, len(content), size)]
