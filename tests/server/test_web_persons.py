from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fakes_console import URL, PersonsConsole, csrf_token, listed, notice
from fakes_crop_edges import put
from fakes_stream import ServerParts, batch, observation

from reid.release import Release
from server.web.pages import person as person_page
from server.web.pages import persons as persons_page


@pytest.fixture
def console(parts: ServerParts, tiny_release: Release) -> Iterator[PersonsConsole]:
    """Person 1 in two cameras (tracklets 1, 2), persons 2 and 3 in one each."""
    parts.ingest.step([batch(1, *(observation(0, time_s=i, tracklet_id=1) for i in range(4)))])
    parts.ingest.step([batch(5, *(observation(0, time_s=50 + i, camid="cam2", tracklet_id=2) for i in range(4)))])
    parts.ingest.step([batch(9, *(observation(2, time_s=80 + i, tracklet_id=3) for i in range(4)))])
    parts.ingest.step([batch(13, *(observation(4, time_s=90 + i, tracklet_id=4) for i in range(4)))])
    with PersonsConsole(parts, tiny_release).visited() as console:
        yield console


def test_the_newest_persons_come_first(console: PersonsConsole) -> None:
    assert listed(console.text("/persons")) == [3, 2, 1]


def test_the_list_leads_to_its_neighbouring_pages(console: PersonsConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons_page, "_PAGE", 2)
    assert 'href="/persons?below=2" rel="next"' in console.text("/persons")
    older = console.text("/persons?below=2")
    assert listed(older) == [1]
    assert 'href="/persons?above=1" rel="prev"' in older
    newer = console.text("/persons?above=1")
    assert listed(newer) == [3, 2]
    assert "prev" not in newer


def test_the_list_is_filtered(console: PersonsConsole) -> None:
    expected = {"camera=cam2": [1], "since=1970-01-01T00:01:25": [3], "until=1970-01-01T00:00:10": [1], "q=2": [2]}
    assert {query: listed(console.text(f"/persons?{query}")) for query in expected} == expected


def test_a_named_person_is_found_by_a_part_of_the_name_which_is_shown_as_text(console: PersonsConsole) -> None:
    answer = console.post("/persons/2/name", name="Ann <i>Smith</i> 100%")
    assert "Ann &lt;i&gt;Smith&lt;/i&gt;" in notice(answer.text)
    assert listed(console.text("/persons?q=smith")) == listed(console.text("/persons?named=true")) == [2]
    assert listed(console.text("/persons?q=%25x")) == []


def test_persons_are_compared_and_merged_and_the_merge_is_undone(console: PersonsConsole) -> None:
    compared = console.text("/persons/merge?person=1&person=2,+3")
    assert compared.count('name="into"') == 3
    merged = console.post("/persons/merge", person=["1", "2"], into="2")
    assert merged.url.path == "/persons/2"
    assert "became a part of" in console.text("/persons/1")
    console.post("/persons/1/undo", event="1")
    assert listed(console.text("/persons")) == [3, 2, 1]


def test_a_merge_of_too_few_or_nobody_is_refused(console: PersonsConsole) -> None:
    for query, status in (("person=1", 409), ("person=1,99", 404), ("person=1,x", 400), ("", 409)):
        assert 'class="problem"' in console.text(f"/persons/merge?{query}", status=status)


def test_chosen_tracklets_are_split_off(console: PersonsConsole) -> None:
    answer = console.post("/persons/1/split", tracklet=["edge1/cam2/2"])
    assert answer.url.path == "/persons/4"
    assert "1 tracklet moved" in notice(answer.text)
    assert "split" in console.text("/persons/1")


def test_a_split_without_tracklets_changes_nothing(console: PersonsConsole) -> None:
    assert "tick those" in console.post("/persons/1/split", status=409).text


def test_an_erasure_needs_the_number_typed(console: PersonsConsole) -> None:
    assert "4 views" in console.text("/persons/2/erase")
    console.post("/persons/2/erase", status=409, confirm="3")
    assert listed(console.text("/persons")) == [3, 2, 1]
    assert "erased" in notice(console.post("/persons/2/erase", confirm=" 2 ").text)
    assert "Nothing is kept" in console.text("/persons/2")


def test_whoever_looks_at_a_person_stands_in_the_audit_log(console: PersonsConsole) -> None:
    console.text("/persons/1")
    console.text("/persons/99", status=404)
    assert [(entry.what, entry.subject) for entry in console.audit()] == [
        ("list tracklets", "person 1"),
        ("list tracklets", "person 99"),
    ]


def test_tracklets_come_by_pages_with_the_gap_before_each(
    console: PersonsConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_page, "_PAGE", 1)
    second = console.text("/persons/1?page=2")
    assert "edge1/cam2/2" in second
    assert "edge1/cam1/1" not in second
    assert "0:00:47" in second


def test_two_cameras_that_saw_the_person_at_once_are_an_overlap_not_a_gap(
    console: PersonsConsole, parts: ServerParts
) -> None:
    parts.ingest.step([batch(17, *(observation(0, time_s=52 + i, camid="cam3", tracklet_id=5) for i in range(4)))])
    assert "none, overlaps by 0:00:01" in console.text("/persons/1")


def test_crops_that_are_here_are_shown_and_others_are_asked_for(console: PersonsConsole) -> None:
    put(console.store, 1, 1)
    assert 'src="/crops/1/1.jpg"' in console.text("/persons/1")
    console.post("/persons/1/crops")
    assert [crop.seq for crop in console.edges.asked] == [5, 6, 2]
    assert "3 came" in console.text("/persons/1/crops")
    assert console.text("/persons/1/crops").count('class="crop"') == 4


def test_crops_that_are_on_their_way_are_shown_as_pending(console: PersonsConsole) -> None:
    console.edges.is_slow = True

    async def look() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(console.door), base_url=URL) as client:
            form = {"csrf_token": csrf_token((await client.get("/search")).text)}
            asked = await client.post("/persons/1/crops", data=form, headers={"HX-Request": "true"})
            return [asked.text, (await client.get("/persons/1/picture")).text]

    part, picture = asyncio.run(look())
    assert part.count("asked for</span>") == 3
    assert 'hx-trigger="every 1s"' in part
    assert "asked for" in picture


def test_crops_of_whom_the_person_became_a_part_of_are_asked_for(console: PersonsConsole) -> None:
    """Somebody has the page of person 1 open while two merges take it away."""
    console.post("/persons/merge", person=["1", "2"], into="2")
    console.post("/persons/merge", person=["2", "3"], into="3")
    answer = console.post("/persons/1/crops")
    assert answer.url.path == "/persons/3"
    assert "Person 1 became a part of this one. " in notice(answer.text)
    assert {crop.tracklet for crop in console.edges.asked} == {2, 3, 4}  # the latest three, of all three persons


def test_a_part_of_a_page_takes_the_whole_along_when_its_person_became_another(console: PersonsConsole) -> None:
    console.post("/persons/merge", person=["1", "2"], into="2")
    form = {"csrf_token": csrf_token(console.text("/persons/2"))}
    answer = console.client.post("/persons/1/crops", data=form, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == "/persons/2#crops"


def test_a_picture_of_each_of_a_list_is_asked_for_and_it_goes_on_where_it_was(console: PersonsConsole) -> None:
    answer = console.post("/persons/pictures", person=["1", "2"], next="/persons?q=2")
    assert str(answer.url.query, "ascii") == "q=2"
    assert len(console.edges.asked) == 2
    assert console.post("/persons/pictures", person=["3"], next="//evil.example/").url.path == "/persons"


def test_each_crop_has_an_address_of_its_own(console: PersonsConsole) -> None:
    put(console.store, 1, 1, 2)
    first, second = (console.client.get(f"/crops/1/{seq}.jpg") for seq in (1, 2))
    assert first.content != second.content
    assert first.headers["cache-control"] == "no-store"


def test_a_crop_without_a_row_or_without_a_file_is_not_found(console: PersonsConsole) -> None:
    put(console.store, 1, 1)
    next(Path(console.parts.data / "crops").rglob("*.jpg")).unlink()
    console.text("/crops/1/1.jpg", status=404)
    console.text("/crops/1/77.jpg", status=404)


def test_the_crops_of_someone_erased_are_gone(console: PersonsConsole) -> None:
    put(console.store, 1, 1)
    console.post("/persons/1/erase", confirm="1")
    console.text("/crops/1/1.jpg", status=404)


def test_a_person_is_exported_in_each_format(console: PersonsConsole) -> None:
    assert len(json.loads(console.text("/persons/1/export"))) == 2
    assert console.text("/persons/1/export?format=csv").count("\n") == 9
    answer = console.client.get("/persons/1/export?format=mot&fps=1")
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["edge1_cam1/gt.txt", "edge1_cam2/gt.txt"]
    assert 'filename="person-1-mot.zip"' in answer.headers["content-disposition"]
