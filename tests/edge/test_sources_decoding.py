from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from fakes_video import write_video

from edge.errors import SourceError
from edge.sources.decoding import VideoDecoder, picture_of, reason_of, upright


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(SourceError, match="sound has no video in it"):
        VideoDecoder(av.open(str(path)), name="sound", threads="AUTO")


def test_frames_end_with_none_and_again_none(tmp_path: Path) -> None:
    decoder = VideoDecoder(av.open(str(write_video(tmp_path / "a.mp4", 2))), name="a", threads="SLICE")
    assert [decoder.next() is None for _ in range(4)] == [False, False, True, True]


def test_a_picture_of_odd_width_is_whole() -> None:
    image = np.random.default_rng(1).integers(0, 256, (33, 51, 3), dtype=np.uint8)
    picture = picture_of(av.VideoFrame.from_ndarray(image, format="bgr24"))
    np.testing.assert_array_equal(picture, image)


@pytest.mark.parametrize(
    ("rotation_deg", "corner"), [(0, (0, 0)), (90, (2, 0)), (-90, (0, 1)), (180, (2, 1)), (270, (0, 1))]
)
def test_sideways_pictures_are_turned_upright(rotation_deg: int, corner: tuple[int, int]) -> None:
    stored = np.zeros((2, 3, 3), np.uint8)
    stored[0, 0] = 255
    if rotation_deg in (0, 180):
        corner = (min(corner[0], 1), 2 if corner[1] else 0)
    shown = upright(stored, rotation_deg=rotation_deg)
    assert np.argwhere(shown[:, :, 0]).tolist() == [list(corner)]


def test_reasons_show_no_address() -> None:
    with pytest.raises(av.FFmpegError) as failed:
        av.open("rtsp://me:secret@127.0.0.1:1/x", timeout=5)
    assert reason_of(failed.value) == "Connection refused"
