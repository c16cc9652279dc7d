from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reid.errors import BoxError, ImageError
from reid.preprocess import clip_box, crop_person, decode_image, network_input, read_image, resize_crop
from reid.types import Box

FRAME = np.arange(40 * 60 * 3, dtype=np.uint64).astype(np.uint8).reshape(40, 60, 3)


def test_crop_is_rounded_outwards_and_cut_to_the_frame() -> None:
    crop = crop_person(FRAME, Box(-3.0, 1.2, 10.1, 99.0))
    np.testing.assert_array_equal(crop, FRAME[1:40, 0:11])


def test_batch_has_one_row_per_box_in_order() -> None:
    boxes = [Box(0, 0, 20, 40), Box(20, 0, 40, 40)]
    batch = network_input(FRAME, boxes)
    assert batch.shape == (2, 256, 128, 3)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch[1], resize_crop(FRAME[:, 20:40]))


def test_no_boxes_make_an_empty_batch() -> None:
    assert network_input(FRAME, []).shape == (0, 256, 128, 3)


@pytest.mark.parametrize(
    "box",
    [Box(5, 5, 5, 9), Box(9, 9, 5, 5), Box(60, 0, 80, 10), Box(-9, -9, 0, 0)],
    ids=["no-width", "inverted", "right-of-frame", "left-of-frame"],
)
def test_a_box_without_area_in_the_frame_is_named(box: Box) -> None:
    with pytest.raises(BoxError, match="has no area inside its 60x40 frame"):
        network_input(FRAME, [box])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(BoxError, match="not finite"):
        crop_person(FRAME, Box(0, 0, value, 10))


def test_large_crops_are_averaged_down_without_aliasing() -> None:
    stripes = np.zeros((1024, 512, 3), dtype=np.uint8)
    stripes[::2] = 255
    assert np.abs(resize_crop(stripes).astype(int) - 127).max() <= 1


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 4))
def test_a_clipped_box_always_lies_in_the_frame(values: tuple[float, float, float, float]) -> None:
    try:
        x1, y1, x2, y2 = clip_box(Box(*values), width_px=60, height_px=40)
    except BoxError:
        return
    assert 0 <= x1 < x2 <= 60
    assert 0 <= y1 < y2 <= 40


def test_a_picture_survives_encoding(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), FRAME)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), FRAME)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no jpeg", b"hello"], ids=["empty", "cut", "text"])
def test_bytes_that_are_no_picture_are_named(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"probe\.jpg is no readable picture"):
        decode_image(content, name="probe.jpg")


@pytest.mark.parametrize("side_px", [8_100, 30_000])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_unread(side_px: int) -> None:
    bomb = BytesIO()
    Image.new("1", (side_px, side_px)).save(bomb, "PNG")
    with pytest.raises(ImageError, match=r"bomb\.png has more than 64 million pixels"):
        decode_image(bomb.getvalue(), name="bomb.png")


def test_a_picture_whose_reader_stumbles_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise NotImplementedError("unknown pixel format")

    monkeypatch.setattr("reid.preprocess.Image.open", stumble)
    with pytest.raises(ImageError, match="no readable picture"):
        decode_image(b"DDS ", name="probe.dds")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read picture .*gone\.jpg"):
        read_image(tmp_path / "gone.jpg")
