"""Small videos, encoded as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from reid.types import UInt8Array

WIDTH_PX, HEIGHT_PX, RATE_HZ = 160, 120, 10


def level_of(index: int) -> int:
    """Grey level of frame `index`; steps survive the codec."""
    return 20 + 10 * (index % 20)


def write_video(path: Path, num_frames: int = 20, *, codec: str = "libx264", fast_start: bool = False) -> Path:
    """Write grey frames at 10 Hz, each of its own level, a key frame every five."""
    options = {"movflags": "faststart"} if fast_start else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH_PX, HEIGHT_PX, "yuv420p", 5
        for index in range(num_frames):
            image = np.full((HEIGHT_PX, WIDTH_PX, 3), level_of(index), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def write_changing_video(path: Path, sizes: Sequence[tuple[int, int]], num_frames: int = 20) -> Path:
    """Write an H.264 stream of 10 Hz whose pictures change their size: the frames of each (width, height) in turn."""
    with path.open("wb") as file:
        for width_px, height_px in sizes:
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = width_px, height_px, "yuv420p", 5
            encoder.framerate, encoder.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
            frames = [walker_picture(index, width_px, height_px) for index in range(num_frames)]
            pictures = [av.VideoFrame.from_ndarray(frame, format="bgr24") for frame in frames]
            for packet in [*(packet for frame in pictures for packet in encoder.encode(frame)), *encoder.encode()]:
                file.write(bytes(packet))
    return path


def walker_picture(index: int, width_px: int, height_px: int) -> UInt8Array:
    """A dark figure on grey, a quarter of the width and three quarters of the height, that stands still."""
    image = np.full((height_px, width_px, 3), 160, np.uint8)
    image[height_px // 8 : height_px * 7 // 8, width_px // 4 : width_px // 2] = 20 + index
    return image


def encode_h264(num_frames: int) -> list[list[bytes]]:
    """NAL units of H.264 frames, without start codes; every frame can be decoded by itself."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = WIDTH_PX, HEIGHT_PX, "yuv420p", 1
    encoder.framerate, encoder.time_base = RATE_HZ, Fraction(1, RATE_HZ)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    frames = []
    for index in range(num_frames):
        image = np.full((HEIGHT_PX, WIDTH_PX, 3), level_of(index), np.uint8)
        for packet in encoder.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
            frames.append([unit.lstrip(b"\0") for unit in bytes(packet).split(b"\0\0\1") if unit.strip(b"\0")])
    return frames
