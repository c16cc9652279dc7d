from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import BrokenFrameError, SourceError
from edge.sources.images import ImageFolderSource


def write_picture(path: Path, level: int) -> None:
    cv2.imwrite(str(path), np.full((6, 8, 3), level, np.uint8))


def test_pictures_are_played_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name, level in (("10.png", 3), ("9.png", 2), ("1.PNG", 1), ("notes.txt", 0)):
        write_picture(tmp_path / name, level) if name != "notes.txt" else (tmp_path / name).touch()
    source = ImageFolderSource(tmp_path, start_time_us=1000)
    frames = list(iter(source.read, None))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 3]
    assert [(frame.index, frame.time_us) for frame in frames] == [(0, 1000), (1, 101_000), (2, 201_000)]
    assert frames[0].truth is None


def test_an_unreadable_picture_is_passed_over(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"junk")
    write_picture(tmp_path / "3.png", 3)
    source = ImageFolderSource(tmp_path, start_time_us=0)
    source.read()
    with pytest.raises(BrokenFrameError, match=r"2\.png is no readable picture"):
        source.read()
    frame = source.read()
    assert frame is not None
    assert (frame.index, frame.time_us) == (2, 200_000)


@pytest.mark.parametrize("name", ["", "missing"], ids=["empty", "missing"])
def test_a_folder_without_pictures_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="pictures in"):
        ImageFolderSource(tmp_path / name, start_time_us=0)
