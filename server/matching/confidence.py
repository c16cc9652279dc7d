"""How sure a similarity makes one that two views show one person: a curve fitted to comparisons of known outcome. Pure.

Paper: Platt, Probabilistic outputs for support vector machines, 1999, with its targets for small samples. Deviation:
the curve never falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from reid.types import BoolArray, FloatArray

LEAST_OF_EACH = 10
"""Fewer right or wrong comparisons say nothing."""
_STEEPEST = 400.0
"""Of the curve, at its middle, in logits for a whole similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceCurve:
    """Similarity to probability, by the logistic function.

    Attributes:
        slope: Logits for a whole similarity, not negative.
        middle: Similarity at which the probability is one half.
        num_right: Comparisons of one person that it was fitted to.
        num_wrong: Those of two.
    """

    slope: float
    middle: float
    num_right: int
    num_wrong: int

    def of(self, similarity: float) -> float:
        """Probability that a similarity is one person's, in [0, 1]."""
        return float(expit(self.slope * (similarity - self.middle)))


def fit_confidence(similarities_N: FloatArray, is_right_N: BoolArray) -> ConfidenceCurve | None:
    """Fit the curve; None where there are too few comparisons, or where more alike does not mean more often right.

    Args:
        similarities_N: Cosines.
        is_right_N: Whether each was of one person.
    """
    num_right = int(np.count_nonzero(is_right_N))
    num_wrong = len(is_right_N) - num_right
    if min(num_right, num_wrong) < LEAST_OF_EACH:
        return None
    targets_N = np.where(is_right_N, (num_right + 1) / (num_right + 2), 1 / (num_wrong + 2))
    centre = float(np.mean(similarities_N))
    offsets_N = np.asarray(similarities_N, dtype=np.float64) - centre

    def loss(logit: FloatArray) -> tuple[float, FloatArray]:
        logits_N = logit[0] * offsets_N + logit[1]
        wrong_by_N = expit(logits_N) - targets_N
        value = float(np.sum(np.logaddexp(0.0, logits_N) - targets_N * logits_N))
        return value, np.array([wrong_by_N @ offsets_N, wrong_by_N.sum()])

    found = minimize(loss, np.array([10.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, _STEEPEST), (None, None)])
    slope, offset = map(float, found.x)
    if slope <= 0.0:
        return None
    return ConfidenceCurve(slope=slope, middle=centre - offset / slope, num_right=num_right, num_wrong=num_wrong)
