"""What ties a release to its parent: both networks' embeddings of the same crops, and the map between their spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid.alignment import align, fit_alignment
from reid.types import FloatArray, UInt8Array
from train.embed import embed_crops
from train.network import Network

MOST_CROPS = 4096
"""Crops that a map is fitted on, spread evenly over those at hand: eight for each dimension."""
_STAY_PUT = 1.0
"""Weight, in crops, with which each direction would rather stay where it is: what no crop shows is not turned. With 300
crops this is worth two points of mAP across the spaces, with thousands a few tenths (docs/log.md)."""


@dataclass(frozen=True)
class EmbeddedTwice:
    """The same crops in two spaces.

    Attributes:
        old_ND: Unit-norm float32, by the parent.
        new_ND: Unit-norm float32, by the candidate.
    """

    old_ND: FloatArray
    new_ND: FloatArray


def embed_twice(parent: Network, candidate: Network, crops: UInt8Array, *, most: int = MOST_CROPS) -> EmbeddedTwice:
    """Embed crops with both networks.

    Args:
        parent: What the candidate was trained from.
        candidate: It, as trained.
        crops: uint8 (N, 256, 128, 3) BGR, perhaps memory-mapped; N > 0.
        most: About so many of them are taken, spread evenly.
    """
    some = crops[:: max(1, len(crops) // most)]
    return EmbeddedTwice(*(embed_crops(network, some, precision="fp32") for network in (parent, candidate)))


def fit_to_parent(embedded: EmbeddedTwice) -> FloatArray:
    """Find the orthogonal map from the parent's space into the candidate's.

    Args:
        embedded: Crops that were trained on.

    Returns:
        (D, D) float32.
    """
    stay = np.sqrt(_STAY_PUT) * np.eye(embedded.old_ND.shape[1], dtype=np.float32)
    return fit_alignment(np.concatenate([embedded.old_ND, stay]), np.concatenate([embedded.new_ND, stay]))


def aligned_cosine(embedded: EmbeddedTwice, alignment: FloatArray) -> float:
    """Mean cosine between the parent's embeddings, mapped, and the candidate's."""
    return float(np.mean(np.sum(align(embedded.old_ND, alignment) * embedded.new_ND, axis=1)))
