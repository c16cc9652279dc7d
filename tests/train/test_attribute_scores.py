from __future__ import annotations

import numpy as np
import pytest

from train.attribute_scores import score_attributes


def test_scores_by_hand() -> None:
    true = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    found = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=bool)
    scores = score_attributes(found, true)
    # Third attribute: nobody has it, so it is left out. First: 1 and 1. Second: 1/2 among those with, 0 of 1 without.
    by_attribute = (1 + (0.5 + 0) / 2) / 2
    by_picture = (1 / 2 + 1 / 2 + 1) / 3, (1 + 1 / 2 + 1) / 3, (1 / 2 + 1 + 1) / 3
    assert scores == pytest.approx((by_attribute, *by_picture, 5 / 6))


def test_pictures_with_nothing_to_count_are_left_out() -> None:
    true = np.array([[0], [1]], dtype=bool)
    scores = score_attributes(np.array([[0], [1]], dtype=bool), true)
    assert scores == (1, 1, 1, 1, 1)


def test_where_nothing_is_left_scores_are_zero() -> None:
    nothing = np.zeros((2, 3), dtype=bool)
    assert score_attributes(nothing, nothing) == (0, 0, 0, 0, 0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted the same"):
        score_attributes(np.zeros((2, 3), dtype=bool), np.zeros((3, 2), dtype=bool))
