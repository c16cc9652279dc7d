import numpy as np
import pytest

from benchmarks.instruments.h264 import H264Settings, h264_size


def frames(num_frames: int, *, noise: float = 10.0, height: int = 48, width: int = 64):
    rng = np.random.default_rng(0)
    return [np.clip(rng.normal(128, noise, (height, width, 3)), 0, 255).astype(np.uint8) for _ in range(num_frames)]


def test_every_frame_is_counted():
    size = h264_size(frames(7), rate_hz=10)
    assert size.num_frames == 7
    assert size.num_bytes > 500


def test_noise_costs_bytes_and_stillness_does_not():
    still = h264_size(frames(1) * 20, rate_hz=10)
    assert h264_size(frames(20), rate_hz=10).num_bytes > 3 * still.num_bytes


def test_a_higher_crf_is_smaller():
    fine, coarse = (h264_size(frames(5), rate_hz=10, settings=H264Settings(crf=crf)).num_bytes for crf in (18, 35))
    assert coarse < fine


@pytest.mark.parametrize("rate_hz", [1.0, 29.97, 12.5])
def test_odd_sizes_and_rates_are_taken(rate_hz):
    assert h264_size(frames(2, height=49, width=65), rate_hz=rate_hz).num_frames == 2


def test_no_frames_are_no_bytes():
    assert h264_size([], rate_hz=10).num_bytes == 0
