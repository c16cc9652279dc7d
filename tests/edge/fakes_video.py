"""Small videos, encoded as they are needed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
