from __future__ import annotations

import re
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from fakes_console import PersonsConsole, listed, png
from fakes_stream import ServerParts, batch, observation

from reid.release import Release
from reid.types import Observation


@pytest.fixture
def console(parts: ServerParts, tiny_release: Release) -> Iterator[PersonsConsole]:
    """Person 1 is the first golden crop, in two cameras; persons 2 and 3 are others."""
    parts.ingest.step([batch(1, *_views(tiny_release, 0, time_s=0.0))])
    parts.ingest.step([batch(5, *_views(tiny_release, 0, time_s=50.0, camid="cam2", tracklet_id=2))])
    parts.ingest.step([batch(9, *(observation(2, time_s=80 + i, tracklet_id=3) for i in range(4)))])
    parts.ingest.step([batch(13, *(observation(4, time_s=90 + i, tracklet_id=4) for i in range(4)))])
    with PersonsConsole(parts, tiny_release).visited() as console:
        yield console


def _views(
    release: Release, row: int, *, time_s: float, camid: str = "cam1", tracklet_id: int = 1
) -> list[Observation]:
    embedding = release.golden.embeddings[row]
    return [_seen(observation(camid=camid, tracklet_id=tracklet_id, time_s=time_s + i), embedding) for i in range(4)]


def _seen(item: Observation, embedding: np.ndarray) -> Observation:
    item.embedding[:] = embedding
    return item


def upload(console: PersonsConsole, content: bytes, *, status: int = 200) -> str:
    return str(console.post("/search", status=status, files={"photo": ("p.png", content, "image/png")}).text)


def crop(release: Release) -> bytes:
    return cv2.imencode(".png", release.golden.crops[0])[1].tobytes()


def test_a_crop_finds_its_person_in_all_cameras(console: PersonsConsole, tiny_release: Release) -> None:
    page = upload(console, crop(tiny_release))
    assert listed(page)[0] == 1
    assert re.search(r"similarity <strong>(0\.99\d|1\.000)</strong> in cam", page)
    assert "match</span>" in page


def test_a_search_keeps_to_its_cameras_and_times(console: PersonsConsole, tiny_release: Release) -> None:
    url = str(re.search(r'name="photo" value="([^"]+)"', upload(console, crop(tiny_release)))[1])  # type: ignore[index]
    page = console.text(f"/search?photo={url}&box=whole&camera=cam2&since=1970-01-01T00:00:45")
    assert listed(page) == [1]
    assert "in cam2" in page
    assert "Nobody was seen" in console.text(f"/search?photo={url}&box=whole&since=2020-01-01")


def test_persons_who_are_ticked_are_searched_by_and_left_out_of_what_is_found(console: PersonsConsole) -> None:
    page = console.text("/search?person=2&person=3")
    assert listed(page) == [2, 3, 1]
    assert page.count("checked") == 2


def test_every_search_stands_in_the_audit_log_without_the_picture(
    console: PersonsConsole, tiny_release: Release
) -> None:
    upload(console, crop(tiny_release))
    console.text("/search?person=1&camera=cam1")
    console.text("/search?person=99", status=404)
    assert [(entry.what, entry.subject, entry.outcome[:4]) for entry in console.audit()] == [
        ("search", "a photo, whole", "done"),
        ("search", "like persons 1; cameras cam1", "done"),
        ("search", "like persons 99", "pers"),
    ]


def test_a_photo_is_shown_and_a_part_of_it_is_searched(console: PersonsConsole) -> None:
    page = upload(console, png(200, 100))
    assert "all of it is searched by" in page
    key = re.search(r'href="/search/photos/([^."]+)\.jpg"', page)
    assert key is not None
    assert console.client.get(f"/search/photos/{key[1]}.jpg").headers["content-type"] == "image/jpeg"
    console.text(f"/search?photo={key[1]}&box=10,10,60,90")
    assert console.client.get(f"/search/photos/{key[1]}/10,10,60,90.jpg").status_code == 200
    for box in ("900,900,950,990", "a,b,c,d", "1,2,3", "nan,0,5,5"):
        console.text(f"/search?photo={key[1]}&box={box}", status=400)


@pytest.mark.parametrize("content", [b"no picture", b""], ids=["garbage", "nothing"])
def test_what_is_no_photo_is_refused(console: PersonsConsole, content: bytes) -> None:
    assert 'class="problem"' in upload(console, content, status=400)


def test_a_photo_that_is_gone_is_asked_for_again(console: PersonsConsole) -> None:
    assert "so give it again" in console.text("/search?photo=gone", status=404)
