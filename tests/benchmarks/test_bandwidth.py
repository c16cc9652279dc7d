import dataclasses

import pytest

from benchmarks.bandwidth import CameraBytes, RefreshBytes, per_hour
from benchmarks.instruments.bandwidth_plot import plot_bandwidth

CAMERA = CameraBytes(
    source="door",
    num_frames=600,
    rate_hz=10.0,
    num_observations=60,
    embedding_bytes=60_000,
    h264_bytes=3_000_000,
    crop_bytes=5_000.0,
)
REFRESH = RefreshBytes(num_crops=100, weight_bytes=3_000_000, hours=10)


def test_an_hour_is_sixty_minutes_of_the_same():
    assert per_hour([CAMERA], REFRESH) == {
        "embedding_bytes_per_camera_hour": 3_600_000,
        "crop_bytes_per_camera_hour": 50_000,
        "weight_bytes_per_camera_hour": 300_000,
        "h264_bytes_per_camera_hour": 180_000_000,
        "ratio": 50,
        "ratio_with_refreshes": 180_000_000 / 3_950_000,
    }


def test_cameras_are_weighted_by_their_time():
    longer = dataclasses.replace(CAMERA, source="hall", num_frames=1800)
    figures = per_hour([CAMERA, longer], REFRESH)
    assert figures["embedding_bytes_per_camera_hour"] == pytest.approx(120_000 / 240 * 3600)


def test_the_plot_is_a_picture(tmp_path):
    figures = per_hour([CAMERA], REFRESH)
    plot_bandwidth(tmp_path / "plot.png", {"door": figures, "hall": figures})
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
