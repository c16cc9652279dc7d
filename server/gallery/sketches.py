"""Sketches: a bit for each number of a vector, to choose the few vectors that are worth comparing.

A vector is centred, turned by a random rotation, and its signs are kept. The share of signs in which two sketches
differ grows with the angle between the vectors (Charikar, "Similarity estimation techniques from rounding algorithms",
STOC 2002). The centre is the mean of the first vectors: embeddings share a direction, which would make all signs alike.
Row r belongs to row r of the index whose vectors are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reid.types import FloatArray, IntArray, UInt8Array
from server.gallery.codes import HalfArray, bit_index, codes_of, move_last, random_rotation

_BLOCK = 10_000
"""Vectors sketched in one go."""


class Sketches:
    """The sketches of a gallery.

    Args:
        halves_ND: float16 (N, D), unit norm, N > 0: the vectors to begin with.
    """

    def __init__(self, halves_ND: HalfArray) -> None:
        num_samples, dim = halves_ND.shape
        num_bits = -(-dim // 8) * 8
        self._index = bit_index(num_bits)
        self._rotation = random_rotation(dim, num_bits)
        self._centre_D: FloatArray = halves_ND[:: -(-num_samples // _BLOCK)].mean(axis=0, dtype=np.float32)
        bits = np.empty((num_samples, num_bits // 8), dtype=np.uint8)
        for first in range(0, num_samples, _BLOCK):
            block = slice(first, first + _BLOCK)
            bits[block] = self._bits(halves_ND[block].astype(np.float32))
        self._index.add(bits)

    def __len__(self) -> int:
        """Number of sketches."""
        return int(self._index.ntotal)

    def add(self, vectors_ND: FloatArray) -> None:
        """Sketch vectors behind the last row."""
        self._index.add(self._bits(vectors_ND))

    def overwrite(self, rows: IntArray, vectors_ND: FloatArray) -> None:
        """Sketch vectors in the place of others."""
        codes_of(self._index)[rows] = self._bits(vectors_ND)

    def move_last(self, row: int) -> None:
        """Let the last row take the place of another, which is lost."""
        move_last(self._index, row)

    def shortlist(self, queries_QD: FloatArray, size: int, only: Any | None) -> IntArray:
        """Rows whose sketches are nearest.

        Args:
            queries_QD: float32 (Q, D), unit norm.
            size: How many; no more than there are.
            only: What `only_rows` gives; None for all.

        Returns:
            (Q, size) rows.
        """
        rows: IntArray = self._index.search(self._bits(queries_QD), size, params=only)[1]
        return rows

    def _bits(self, vectors_ND: FloatArray) -> UInt8Array:
        return np.packbits(self._rotation.apply(vectors_ND - self._centre_D) > 0, axis=1)
