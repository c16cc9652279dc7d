"""Orthogonal maps between spaces: fitted on crops that two releases have embedded, and composed along a family of them.

A map is a matrix (D_old, D_new): rows of the old space times it are comparable with embeddings of the new one. Being
orthogonal it keeps every cosine, its transpose leads back, and a sum of embeddings maps to the sum of their maps.
Shape letters: N samples, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from reid.embedding import normalise
from reid.errors import ReleaseError
from reid.types import FloatArray

ORTHOGONAL_TOLERANCE = 1e-3
"""Largest difference of a map's product with its transpose from the identity."""

_Map = npt.NDArray[np.float64]


def fit_alignment(old_ND: FloatArray, new_ND: FloatArray) -> FloatArray:
    """Find the orthogonal map that brings old embeddings nearest to new ones of the same crops.

    Args:
        old_ND: float32 (N, D), unit norm.
        new_ND: Likewise, row by row of the same crops.

    Returns:
        (D, D) float32, orthogonal.

    Raises:
        ValueError: The shapes differ, or there is no row.

    Paper: Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31, 1966. Deviation:
    with fewer crops than D, the directions that no crop shows are left to the SVD's choice.
    """
    if old_ND.ndim != 2 or old_ND.shape != new_ND.shape or not len(old_ND):
        raise ValueError(f"embeddings of shapes {old_ND.shape} and {new_ND.shape}, wanted the same (N, D) with N > 0")
    left, _, right = np.linalg.svd(old_ND.astype(np.float64).T @ new_ND.astype(np.float64))
    return np.asarray(left @ right, dtype=np.float32)


def align(embeddings_ND: FloatArray, matrix: FloatArray) -> FloatArray:
    """Bring embeddings into the space that a map leads to.

    Args:
        embeddings_ND: float32 (N, D_old).
        matrix: float32 (D_old, D_new).

    Returns:
        (N, D_new) float32, unit norm.
    """
    return normalise(embeddings_ND @ matrix)


def is_orthogonal(matrix: FloatArray) -> bool:
    """True for a square, finite matrix whose columns are of norm 1 and at right angles, but for rounding."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        return False
    gram = matrix.T.astype(np.float64) @ matrix.astype(np.float64)
    return bool(np.abs(gram - np.eye(len(gram))).max() <= ORTHOGONAL_TOLERANCE)


class Alignments:
    """Families of releases, each joined to its parent by a map. Never changes; safe to use from several threads.

    Args:
        links: space -> its parent's space, and the map (D, D) from the parent's space into it.

    Raises:
        ReleaseError: A space would be its own ancestor.
    """

    def __init__(self, links: Mapping[str, tuple[str, FloatArray]] | None = None) -> None:
        self._links = dict(links or {})
        self._found: dict[tuple[str, str], FloatArray] = {}
        for space in self._links:
            self._ancestors(space)

    @property
    def spaces(self) -> frozenset[str]:
        """Spaces that have a parent or a child."""
        return frozenset(self._links) | {parent for parent, _ in self._links.values()}

    def knows(self, space: str) -> bool:
        """True for a space that has a parent or a child."""
        return space in self.spaces

    def connects(self, old: str, new: str) -> bool:
        """True if `between` has an answer."""
        return old == new or bool(set(self._ancestors(old)) & set(self._ancestors(new)))

    def connected(self, space: str) -> frozenset[str]:
        """All spaces that can be brought into one, itself among them."""
        return frozenset({space, *(other for other in self.spaces if self.connects(other, space))})

    def between(self, old: str, new: str) -> FloatArray | None:
        """The map from one space into another, along the releases that join them.

        Returns:
            (D_old, D_new) float32, orthogonal; None when both are the same space.

        Raises:
            ReleaseError: No chain of releases joins them.
        """
        if old == new:
            return None
        if (old, new) not in self._found:
            self._found[old, new] = self._compose(old, new)
        return self._found[old, new]

    def with_link(self, space: str, parent: str, matrix: FloatArray) -> Alignments:
        """The same families and one more release.

        Raises:
            ReleaseError: The space would be its own ancestor.
        """
        return Alignments({**self._links, space: (parent, matrix)})

    def _compose(self, old: str, new: str) -> FloatArray:
        """Up from `old` to the nearest common ancestor by transposes, then down to `new`."""
        from_old, from_new = self._ancestors(old), self._ancestors(new)
        common = next((space for space in from_old if space in from_new), None)
        if common is None:
            raise ReleaseError(
                f"embeddings of space {old!r} cannot be brought into space {new!r}: no chain of releases with an "
                "alignment joins them; import the releases between them"
            )
        up = [self._step(space).T for space in from_old[: from_old.index(common)]]
        down = [self._step(space) for space in reversed(from_new[: from_new.index(common)])]
        first, *rest = up + down
        for step in rest:
            first = first @ step
        return np.ascontiguousarray(first, dtype=np.float32)

    def _step(self, space: str) -> _Map:
        return self._links[space][1].astype(np.float64)

    def _ancestors(self, space: str) -> list[str]:
        """A space, its parent, the parent's parent and so on."""
        found = [space]
        while found[-1] in self._links:
            parent = self._links[found[-1]][0]
            if parent in found:
                raise ReleaseError(f"space {parent!r} is its own ancestor: {' -> '.join([*found, parent])}")
            found.append(parent)
        return found
