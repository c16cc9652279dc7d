"""Attributes of a person (age, sex, clothes, what is carried …), read off an embedding by a linear head.

The head looks at unit-norm embeddings, as they are stored, and at no picture: so a server tells the attributes of whom
it has seen, old records included, and an edge sends nothing more for them. A head belongs to one space.

    attributes.npz   `names` (A,) text, `weight` float32 (A, D), `bias` float32 (A,)

Shape letters: N embeddings, D their numbers, A attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from reid.errors import ReleaseMismatchError
from reid.types import FloatArray

LIKELY = 0.5
"""Probability from which an attribute is said to hold."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one person.

    Attributes:
        name: For example `Backpack`.
        probability: That it holds, in [0, 1].
    """

    name: str
    probability: float


def likely_attributes(attributes: Iterable[Attribute]) -> list[str]:
    """Names of those that rather hold than not, in the order given."""
    return [attribute.name for attribute in attributes if attribute.probability >= LIKELY]


@dataclass(frozen=True)
class AttributeHead:
    """A linear head on unit-norm embeddings.

    Attributes:
        names: A different ones.
        weight_AD: float32.
        bias_A: float32.
    """

    names: tuple[str, ...]
    weight_AD: FloatArray
    bias_A: FloatArray

    def probabilities(self, embeddings_ND: FloatArray) -> FloatArray:
        """Probability of each attribute for each embedding: (N, A) float32."""
        # tanh, unlike exp, never overflows.
        halves = np.tanh((embeddings_ND @ self.weight_AD.T + self.bias_A) / 2)
        return np.asarray((halves + 1) / 2, dtype=np.float32)

    def of_person(self, embeddings_ND: FloatArray) -> tuple[Attribute, ...]:
        """What several views of one person say together: the mean over them, likeliest first; nothing of no view."""
        if len(embeddings_ND) == 0:
            return ()
        means = self.probabilities(embeddings_ND).mean(axis=0)
        found = (Attribute(name, float(mean)) for name, mean in zip(self.names, means, strict=True))
        return tuple(sorted(found, key=lambda attribute: -attribute.probability))

    def moved(self, alignment_DD: FloatArray) -> AttributeHead:
        """The same head for the space that an orthogonal map leads to: embeddings times it are that space's."""
        return AttributeHead(self.names, np.asarray(self.weight_AD @ alignment_DD, dtype=np.float32), self.bias_A)


def read_attributes(path: Path, *, dim: int) -> AttributeHead:
    """Read what `write_attributes` wrote.

    Args:
        path: The file.
        dim: D, of the release that it comes with.

    Raises:
        ReleaseMismatchError: It holds no head for embeddings of `dim` finite numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = tuple(str(name) for name in arrays["names"])
            weight, bias = (np.asarray(arrays[name], dtype=np.float32) for name in ("weight", "bias"))
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ReleaseMismatchError(f"{path} holds no attribute head: {error}; train it again") from None
    wanted = (len(names), dim), (len(names),)
    if (weight.shape, bias.shape) != wanted:
        raise ReleaseMismatchError(f"{path}: attribute head of shapes {weight.shape}, {bias.shape}, wanted {wanted}")
    if len(set(names)) != len(names) or not all(names):
        raise ReleaseMismatchError(f"{path}: attributes need names, each another; came {', '.join(names)}")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ReleaseMismatchError(f"{path}: the attribute head's weights are not finite; train it again")
    return AttributeHead(names, weight, bias)


def write_attributes(path: Path, head: AttributeHead) -> None:
    """Write a head into a folder that is to be sealed as a release."""
    np.savez(path, names=np.array(head.names), weight=head.weight_AD, bias=head.bias_A)
