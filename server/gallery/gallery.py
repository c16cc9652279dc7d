"""What a gallery offers, whatever index keeps the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reid.types import FloatArray, IntArray
from server.types import EVERYTHING, Scope

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

    @classmethod
    def none(cls, num_queries: int, top: int) -> Hits:
        """No hit for any query."""
        shape = (num_queries, top)
        return cls(np.full(shape, NO_HIT, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32))


class Gallery(Protocol):
    """Unit vectors by key, each with the span in which it was seen. Safe to use from several threads."""

    def __len__(self) -> int:
        """Number of vectors."""

    def upsert(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """Add vectors, or replace those with the same key.

        Args:
            keys_N: int64 (N,), non-negative, each at most once.
            vectors_ND: float32 (N, D), unit norm.
            spans_N3: int64 (N, 3), the fields of a `CameraSpan`.

        Raises:
            GalleryError: The index cannot be reached; some of them may have been written.
        """

    def remove(self, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys change nothing.

        Raises:
            GalleryError: The index cannot be reached.
        """

    def replace(self, keys_N: IntArray, vectors_ND: FloatArray, spans_N3: IntArray) -> None:
        """Hold these vectors and no others; a search meets either the old ones or the new ones.

        Args:
            keys_N: As for `upsert`.
            vectors_ND: As for `upsert`.
            spans_N3: As for `upsert`.

        Raises:
            GalleryError: The index cannot be reached; it holds the old ones.
        """

    def search(self, queries_QD: FloatArray, *, top: int, scope: Scope = EVERYTHING) -> Hits:
        """Find the `top` nearest of each query, by inner product.

        Args:
            queries_QD: float32 (Q, D), unit norm; Q may be 0.
            top: Hits per query, at least 1.
            scope: Only vectors whose span it covers are found.

        Raises:
            GalleryError: The index cannot be reached.
        """

    def drop(self) -> None:
        """Delete the vectors wherever they lie, and close; nobody searches here any more."""

    def close(self) -> None:
        """Let go of connections; safe to call twice."""
