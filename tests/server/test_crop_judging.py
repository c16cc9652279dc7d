from __future__ import annotations

import re
import struct
from io import BytesIO

import pytest
from fakes_crop_edges import answer, jpeg
from PIL import Image

from server.crops.answers import CropAnswer, CropRequest, OpenRequest, jpeg_fault

REQUEST = CropRequest(request_id="r1", spool_id="spool1", seqs=(1, 2, 3), max_bytes=1 << 20)


def turned() -> bytes:
    """A crop with a note that it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = BytesIO()
    Image.new("RGB", (128, 256)).save(content, "JPEG", exif=exif)
    return content.getvalue()


def grey() -> bytes:
    content = BytesIO()
    Image.new("L", (128, 256)).save(content, "JPEG")
    return content.getvalue()


def png() -> bytes:
    content = BytesIO()
    Image.new("RGB", (128, 256)).save(content, "PNG")
    return content.getvalue()


def bomb() -> bytes:
    """A few hundred bytes whose header promises 65,500 x 65,500 pixels."""
    content = jpeg(0)
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", 65_500, 65_500) + content[at + 4 :]


def test_a_crop_is_taken() -> None:
    request = OpenRequest(REQUEST)
    assert request.take(answer(REQUEST, 2)) == ""
    assert (list(request.jpegs), request.is_answered, sorted(request.unanswered)) == ([2], False, [1, 3])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no whole JPEG"),
        (b"hello", "no whole JPEG"),
        (jpeg()[:-200], "no whole JPEG"),
        (png(), "no whole JPEG"),
        (jpeg(width_px=64, height_px=128), "64 x 128 pixels, wanted 128 x 256"),
        (bomb(), "65500 x 65500 pixels|no whole JPEG"),
        (turned(), "notes on how to turn it"),
        (grey(), "mode L"),
    ],
    ids=["empty", "text", "cut", "png", "size", "bomb", "turned", "grey"],
)
def test_what_is_no_crop_is_refused(content: bytes, reason: str) -> None:
    request = OpenRequest(REQUEST)
    assert request.take(answer(REQUEST, 1, content=content))
    assert request.jpegs == {}
    assert re.search(reason, request.refused[1])


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (CropAnswer(request_id="r9", seq=1, status="ok", jpeg=b"", num_bytes=9), "'r9', which is not open"),
        (answer(REQUEST, 9), "9 was not asked for"),
        (answer(REQUEST, 1, "unspecified"), "without a status that fits"),
        (answer(REQUEST, 1, "forgotten"), "without a status that fits"),
    ],
    ids=["request", "seq", "status", "forgotten"],
)
def test_what_was_not_asked_is_a_lie(lie: CropAnswer, reason: str) -> None:
    request = OpenRequest(REQUEST)
    assert reason in request.take(lie)
    assert request.jpegs == {}
    assert request.num_bytes == lie.num_bytes


def test_a_second_answer_is_a_lie() -> None:
    request = OpenRequest(REQUEST)
    request.take(answer(REQUEST, 1, "expired"))
    assert "came before" in request.take(answer(REQUEST, 1))
    assert (request.jpegs, request.without) == ({}, {1: "expired"})


def test_more_bytes_than_allowed_are_refused() -> None:
    small = CropRequest(request_id="r1", spool_id="spool1", seqs=(1, 2), max_bytes=len(jpeg(1)) + 100)
    request = OpenRequest(small)
    assert request.take(answer(small, 1)) == ""
    assert "allowed were" in request.take(answer(small, 2))
    assert (list(request.jpegs), request.is_overdrawn) == ([1], True)


def test_a_good_crop_has_no_fault() -> None:
    assert jpeg_fault(jpeg(7)) == ""
