"""What the same frames cost as video: a real H.264 encode, its packets counted and thrown away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from reid.types import UInt8Array


@dataclass(frozen=True, kw_only=True)
class H264Settings:
    """How to encode. The defaults are x264's own: a careful encode, kinder to video than most cameras are.

    Attributes:
        preset: Effort of x264.
        crf: Quality; 23 is x264's default, lower is better and larger.
        num_threads: More are faster and a little larger.
    """

    preset: str = "medium"
    crf: int = 23
    num_threads: int = 1


@dataclass(frozen=True)
class VideoSize:
    """An encoded video.

    Attributes:
        num_frames: Frames in it.
        num_bytes: Sum of its packets, without a container.
    """

    num_frames: int
    num_bytes: int


def h264_size(frames: Iterable[UInt8Array], *, rate_hz: float, settings: H264Settings | None = None) -> VideoSize:
    """Encode frames and count the bytes.

    Args:
        frames: BGR uint8 (H, W, 3), all of one size; an odd last row or column is cut off.
        rate_hz: Frames a second.
        settings: How to encode; the defaults when left out.
    """
    encoder: av.VideoCodecContext | None = None
    num_frames = num_bytes = 0
    for image in frames:
        even = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
        if encoder is None:
            encoder = _open_encoder(even.shape[1], even.shape[0], rate_hz, settings or H264Settings())
        frame = av.VideoFrame.from_ndarray(even, format="bgr24").reformat(format="yuv420p")
        frame.pts = num_frames
        num_bytes += sum(packet.size for packet in encoder.encode(frame))
        num_frames += 1
    if encoder is not None:
        num_bytes += sum(packet.size for packet in encoder.encode(None))
    return VideoSize(num_frames, num_bytes)


def _open_encoder(width_px: int, height_px: int, rate_hz: float, settings: H264Settings) -> av.VideoCodecContext:
    rate = Fraction(rate_hz).limit_denominator(1001)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.options = {
        "preset": settings.preset,
        "crf": str(settings.crf),
        "threads": str(settings.num_threads),
        "x264-params": "log-level=none",
    }
    encoder.open()
    return encoder
