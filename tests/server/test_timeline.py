from __future__ import annotations

import pytest

from reid.errors import ConfigError
from server.timeline import read_tracklet, with_gaps, write_tracklet
from server.types import Camera, TrackletSummary


def seen(start_us: int, end_us: int) -> TrackletSummary:
    return TrackletSummary(
        camera=Camera("edge1", "cam1"),
        tracklet_id=7,
        person_id=1,
        start_us=start_us,
        end_us=end_us,
        num_observations=1,
    )


def test_the_gap_counts_from_when_all_before_had_ended() -> None:
    tracklets = [seen(0, 10), seen(5, 6), seen(12, 13)]
    assert [gap_us for _, gap_us in with_gaps(tracklets)] == [None, -5, 2]


def test_a_name_is_written_and_read() -> None:
    assert write_tracklet(seen(0, 1)) == "edge1/cam1/7"
    assert read_tracklet("edge1/cam1/7") == ("edge1", "cam1", 7)


@pytest.mark.parametrize("text", ["", "7", "cam1/7", "edge1/cam1/x", "//7"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="EDGE/CAMERA/NUMBER"):
        read_tracklet(text)
