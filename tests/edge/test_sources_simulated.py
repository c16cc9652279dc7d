from __future__ import annotations

import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.simulated import SimulatedSource

SMALL = "sim:?seed=4&people=3&cameras=2&camera=c2&duration_s=1&fps_hz=5&width_px=160&height_px=120"


def test_a_camera_plays_its_frames_with_times_and_truth() -> None:
    source = SimulatedSource(SMALL, start_time_us=1000)
    frames = list(iter(source.read, None))
    assert [(frame.index, frame.time_us) for frame in frames] == [(i, 1000 + 200_000 * i) for i in range(5)]
    assert all(frame.image.shape == (120, 160, 3) and frame.truth is not None for frame in frames)
    assert (source.frame_rate_hz, source.is_live) == (5.0, False)


def test_a_camera_with_a_moment_to_start_at_gives_no_frame_before_its_time() -> None:
    now_s, waits_s = [100.0], list[float]()

    def sleep(wait_s: float) -> None:
        waits_s.append(round(wait_s, 6))
        now_s[0] += wait_s

    source = SimulatedSource(f"{SMALL}&starts_at_s=101", start_time_us=0, clock=lambda: now_s[0], sleep=sleep)
    source.read()
    now_s[0] += 0.35  # the reader was slow: one frame later than due
    source.read()
    source.read()
    assert waits_s == [1.0, 0.05]


def test_the_same_uri_plays_the_same_film() -> None:
    for first, second in zip(
        *(iter(SimulatedSource(SMALL, start_time_us=0).read, None) for _ in range(2)), strict=True
    ):
        np.testing.assert_array_equal(first.image, second.image)
        assert first.truth is not None
        assert second.truth is not None
        np.testing.assert_array_equal(first.truth.xyxy, second.truth.xyxy)


def test_everything_has_a_default() -> None:
    assert SimulatedSource("sim:", start_time_us=0).frame_rate_hz == 10.0


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sim:?peple=3", "unknown key 'peple': did you mean 'people'"),
        ("sim:?people=many", "people"),
        ("sim:?people=0", "num_people"),
        ("sim:?fps_hz=nan", "fps_hz"),
        ("sim:?miss_rate=2", "miss_rate"),
        ("sim:?camera=c9", "no camera 'c9', this site has c1, c2, c3"),
        ("sim:seed", "wanted key=value"),
    ],
)
def test_a_wrong_uri_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason.replace("?", r"\?")):
        SimulatedSource(uri, start_time_us=0)
