from __future__ import annotations

import pytest

from reid.errors import ConfigError
from reid.types import Box, check_name


@pytest.mark.parametrize(
    ("other", "iou"),
    [(Box(0, 0, 2, 2), 1.0), (Box(1, 0, 3, 2), 1 / 3), (Box(2, 0, 4, 2), 0.0), (Box(5, 5, 6, 6), 0.0)],
    ids=["same", "half", "touching", "apart"],
)
def test_iou(other: Box, iou: float) -> None:
    assert Box(0, 0, 2, 2).iou(other) == pytest.approx(iou)


def test_an_inverted_box_has_no_area() -> None:
    assert Box(5, 5, 1, 9).area_px == 0.0


@pytest.mark.parametrize("name", ["cam1", "a", "hall.north-2_x", "9"])
def test_good_names_pass(name: str) -> None:
    assert check_name(name, what="camera") == name


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "-rf", "a b", "x" * 65, "kamera\n", "ü"])
def test_names_unfit_for_files_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"camera .*use 1 to 64 letters"):
        check_name(name, what="camera")
