from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_video import HEIGHT_PX, WIDTH_PX, level_of, write_changing_video, write_video

from edge.errors import BrokenFrameError, SourceError
from edge.frames import Frame
from edge.sources.video import VideoFileSource

START_US = 1_700_000_000_000_000


def read_all(source: VideoFileSource) -> tuple[list[Frame], int, SourceError | None]:
    """Frames, number of broken ones, and what ended it."""
    frames, num_broken = [], 0
    while True:
        try:
            frame = source.read()
        except BrokenFrameError:
            num_broken += 1
            continue
        except SourceError as error:
            return frames, num_broken, error
        if frame is None:
            return frames, num_broken, None
        frames.append(frame)


def test_every_frame_comes_with_its_time_index_and_picture(tmp_path: Path) -> None:
    source = VideoFileSource(write_video(tmp_path / "a.mp4", 20), start_time_us=START_US)
    frames, num_broken, failure = read_all(source)
    source.close()
    assert (num_broken, failure, source.frame_rate_hz, source.is_live) == (0, None, 10.0, False)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time_us - START_US for frame in frames] == [100_000 * index for index in range(20)]
    np.testing.assert_allclose([frame.image.mean() for frame in frames], [level_of(i) for i in range(20)], atol=5)
    assert frames[0].image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert frames[0].image.dtype == np.uint8


def test_times_count_from_the_first_frame_whatever_the_container_says(tmp_path: Path) -> None:
    source = VideoFileSource(write_video(tmp_path / "a.ts", 5), start_time_us=START_US)
    assert [frame.time_us - START_US for frame in read_all(source)[0]] == [0, 100_000, 200_000, 300_000, 400_000]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")], ids=["mp4", "mkv", "avi"]
)
def test_a_truncated_file_gives_what_it_has_and_then_says_so(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, 60, codec=codec, fast_start=name.endswith("mp4"))
    content = path.read_bytes()
    path.write_bytes(content[: (max(content.find(b"mdat"), 0) + len(content)) // 2])
    frames, _, failure = read_all(VideoFileSource(path, start_time_us=0))
    assert 5 < len(frames) < 55
    assert f"{name} is truncated: it promises 6.0 s" in str(failure)


def test_a_file_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"a\.mp4 is no readable video .* or it is truncated"):
        VideoFileSource(path, start_time_us=0)


def test_a_damaged_packet_costs_a_frame_not_the_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 60, fast_start=True)
    content = bytearray(path.read_bytes())
    middle = (content.index(b"mdat") + len(content)) // 2
    content[middle : middle + 60] = b"\xa5" * 60
    path.write_bytes(content)
    frames, num_broken, failure = read_all(VideoFileSource(path, start_time_us=0))
    assert (num_broken >= 1, len(frames) >= 50, failure) == (True, True, None)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0" * 5000], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.mp4 is no readable video"):
        VideoFileSource(path, start_time_us=0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no video at .*none\.mp4"):
        VideoFileSource(tmp_path / "none.mp4", start_time_us=0)


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    source = VideoFileSource(write_video(tmp_path / "a.mp4", 3), start_time_us=0)
    source.close()
    source.close()


def test_frames_have_the_size_that_they_came_in(tmp_path: Path) -> None:
    path = write_changing_video(tmp_path / "a.h264", [(160, 120), (320, 240), (160, 120)], num_frames=4)
    source = VideoFileSource(path, start_time_us=START_US)
    frames, num_broken, failure = read_all(source)
    source.close()
    assert (num_broken, failure) == (0, None)
    assert [frame.image.shape[1] for frame in frames] == [160] * 4 + [320] * 4 + [160] * 4
