from __future__ import annotations

import numpy as np
import pytest

from reid.detector_graph import GraphShapes, Shape, check_finite, picture_size
from reid.errors import DetectorError


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 3, 32, 64), (32, 64)),
        (("N", 3, 32, 64), (32, 64)),
        ((1, 3, "height", 64), None),
        ((1, 3, None, None), None),
        ((1, 1, 32, 64), None),
        ((1, 32, 64, 3), None),
        ((3, 32, 64), None),
    ],
    ids=["fixed", "free-batch", "free-height", "unknown", "grey", "channels-last", "no-batch"],
)
def test_a_picture_has_three_channels_and_a_fixed_size(shape: Shape, size: tuple[int, int] | None) -> None:
    assert picture_size(shape) == size
    assert GraphShapes((shape,), ()).picture == size


def test_two_inputs_are_no_picture() -> None:
    assert GraphShapes(((1, 3, 32, 64), (1, 2)), ()).picture is None


def test_a_graph_is_shown_with_names_where_there_are_any() -> None:
    assert str(GraphShapes(((1, 3, 8, 8),), ((1, "Q", 4), (None,)))) == "(1, 3, 8, 8) -> (1, Q, 4), (None)"
    assert str(GraphShapes(((1, 2),), ((1,),), ("in",), ("out",))) == "in (1, 2) -> out (1)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_must_be_finite(value: float) -> None:
    check_finite(np.zeros(3, np.float32))
    with pytest.raises(DetectorError, match="not finite"):
        check_finite(np.array([0.0, value], np.float32))
