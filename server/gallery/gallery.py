"""What a gallery offers, whatever index keeps the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reid.types import FloatArray, IntArray

NO_HIT = -1


@dataclass(frozen=True, slots=True)
class Hits:
    """Nearest prototypes of some queries, best first.

    Attributes:
        keys_QK: int64 (Q, K) prototype keys; `NO_HIT` where the gallery holds fewer.
        similarities_QK: float32 (Q, K) cosines; -inf where there is no hit.
    """

    keys_QK: IntArray
    similarities_QK: FloatArray


class Gallery(Protocol):
    """Unit vectors by key. Safe to use from several threads."""

    def __len__(self) -> int:
        """Number of vectors."""

    def upsert(self, keys_N: IntArray, vectors_ND: FloatArray) -> None:
        """Add vectors, or replace those with the same key.

        Args:
            keys_N: int64 (N,), non-negative, each at most once.
            vectors_ND: float32 (N, D), unit norm.
        """

    def remove(self, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys change nothing."""

    def replace(self, keys_N: IntArray, vectors_ND: FloatArray) -> None:
        """Hold these vectors and no others; a search meets either the old ones or the new ones.

        Args:
            keys_N: As for `upsert`.
            vectors_ND: As for `upsert`.
        """

    def search(self, queries_QD: FloatArray, *, top: int) -> Hits:
        """Find the `top` nearest of each query, by inner product.

        Args:
            queries_QD: float32 (Q, D), unit norm; Q may be 0.
            top: Hits per query, at least 1.
        """
