"""How well attributes are recognised: mean accuracy by attribute, and four figures by picture.

Definitions: Deng et al., Pedestrian Attribute Recognition at Far Distance, ACM MM 2014 (mA); Li et al., A Richly
Annotated Dataset for Pedestrian Attribute Recognition, arXiv 1603.07054 (by picture).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reid.types import AnyArray, BoolArray


class AttributeScores(NamedTuple):
    """All in [0, 1].

    Attributes:
        mA: Mean over attributes of the mean of the accuracies among those who have it and those who have not.
        accuracy: Mean over pictures: attributes both true and found, of those true or found.
        precision: Mean over pictures: true ones of those found.
        recall: Mean over pictures: found ones of those true.
        F1: Harmonic mean of precision and recall.
    """

    mA: float
    accuracy: float
    precision: float
    recall: float
    F1: float


def score_attributes(found_NA: BoolArray, true_NA: BoolArray) -> AttributeScores:
    """Score what was found.

    An attribute that all or none of the pictures have says nothing about mA and is left out of it; so is, out of a
    figure by picture, a picture for which that figure has nothing to count. Where nothing is left a figure is 0.

    Args:
        found_NA: Predictions.
        true_NA: Labels.

    Raises:
        ValueError: They are of different shapes.
    """
    if found_NA.shape != true_NA.shape:
        raise ValueError(f"predictions are {found_NA.shape}, labels {true_NA.shape}: wanted the same")
    both = found_NA & true_NA
    precision = _mean_share(both.sum(axis=1), found_NA.sum(axis=1))
    recall = _mean_share(both.sum(axis=1), true_NA.sum(axis=1))
    return AttributeScores(
        mA=_mean_accuracy(found_NA, true_NA),
        accuracy=_mean_share(both.sum(axis=1), (found_NA | true_NA).sum(axis=1)),
        precision=precision,
        recall=recall,
        F1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    )


def _mean_accuracy(found_NA: BoolArray, true_NA: BoolArray) -> float:
    counts = true_NA.sum(axis=0)
    varied = (counts > 0) & (counts < len(true_NA))
    if not varied.any():
        return 0.0
    found, true = found_NA[:, varied], true_NA[:, varied]
    among_those_with = (found & true).sum(axis=0) / true.sum(axis=0)
    among_those_without = (~found & ~true).sum(axis=0) / (~true).sum(axis=0)
    return float(np.mean((among_those_with + among_those_without) / 2))


def _mean_share(parts_N: AnyArray, wholes_N: AnyArray) -> float:
    counted = wholes_N > 0
    return float(np.mean(parts_N[counted] / wholes_N[counted])) if counted.any() else 0.0
