from __future__ import annotations

import csv
import io

from reid.types import Box
from server.export import CSV_HEAD, to_csv, to_mot, tracklet_to_json
from server.types import Camera, Sighting, TrackletSummary


def tracklet(person_id: int, *times_us: int, camid: str = "cam1") -> TrackletSummary:
    return TrackletSummary(
        camera=Camera("edge,1", camid),
        tracklet_id=person_id,
        person_id=person_id,
        start_us=times_us[0],
        end_us=times_us[-1],
        num_observations=len(times_us),
        sightings=tuple(Sighting(time_us=time_us, box=Box(10, 20, 50, 120), quality=0.5) for time_us in times_us),
    )


def test_mot_counts_frames_from_the_first_sighting_of_all_cameras() -> None:
    texts = to_mot([tracklet(2, 1_000_000, 1_480_000), tracklet(1, 1_200_000, camid="cam2")], fps=25)
    assert texts[Camera("edge,1", "cam1")] == (
        "1,2,10.00,20.00,40.00,100.00,0.5000,-1,-1,-1\n13,2,10.00,20.00,40.00,100.00,0.5000,-1,-1,-1\n"
    )
    assert texts[Camera("edge,1", "cam2")].startswith("6,1,")
    assert to_mot([], fps=25) == {}


def test_mot_is_in_order_of_frames() -> None:
    text = to_mot([tracklet(2, 0, 80_000), tracklet(1, 40_000, 80_000)], fps=25)[Camera("edge,1", "cam1")]
    assert [line.split(",")[:2] for line in text.splitlines()] == [["1", "2"], ["2", "1"], ["3", "1"], ["3", "2"]]


def test_csv_has_a_line_for_each_sighting_whatever_a_camera_is_called() -> None:
    head, *rows = csv.reader(io.StringIO(to_csv([tracklet(2, 5, 6), tracklet(3, 7)])))
    assert tuple(head) == CSV_HEAD
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("edge,1", "2", "5"),
        ("edge,1", "2", "6"),
        ("edge,1", "3", "7"),
    ]


def test_json_names_the_camera_and_every_sighting() -> None:
    found = tracklet_to_json(tracklet(2, 5, 6))
    assert (found["camid"], found["person_id"], found["sightings"][1]["time_us"]) == ("cam1", 2, 6)
    assert found["sightings"][0]["box"] == [10, 20, 50, 120]
