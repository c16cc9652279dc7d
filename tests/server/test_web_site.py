"""The pages of the site itself: live, map and review, over real records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from fakes_console import PersonsConsole, notice, png
from fakes_stream import ServerParts, batch, observation
from test_identities import walk

from reid.release import Release
from server.types import Camera

CAM1 = {"edge": "edge1", "camid": "cam1"}


@pytest.fixture
def site(parts: ServerParts, tiny_release: Release) -> Iterator[PersonsConsole]:
    """Persons 1 and 2 look alike; person 3 went from cam1 to cam2. All within the last 10 minutes."""
    now_s = parts.clock.now_us / 1e6
    for index, (person, noise) in enumerate([(0, 0.0), (0, 0.7), (4, 0.0)]):
        start_s = now_s - 300 + 100 * index
        parts.ingest.step([walk(person, tracklet_id=index + 1, start_s=start_s, first_seq=1 + 4 * index, noise=noise)])
    views = [observation(4, camid="cam2", tracklet_id=4, time_s=now_s - 10 + second) for second in range(4)]
    parts.ingest.step([batch(13, *views)])
    with PersonsConsole(parts, tiny_release).visited() as console:
        yield console


def rows(page: str, name: str) -> list[list[str]]:
    """Cells of the table in a card."""
    card = page.split(f'id="{name}"')[1].split("</section>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", card.split("<tbody>")[1], re.DOTALL)
    return [
        [unescape(re.sub(r"\s*<[^>]*>\s*", " ", cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in found
    ]


def question(page: str) -> str:
    """Name of the pair that is shown."""
    return re.findall(r'name="pair" value="([0-9a-f]{16})"', page)[0]


def test_live_shows_cameras_with_rates_who_was_seen_last_and_the_ways(site: PersonsConsole) -> None:
    site.connected = {"edge1": ("cam1",), "edge2": ("cam9",)}
    page = site.text("/live")
    cameras = [row[:6] for row in rows(page, "cameras")]
    assert cameras == [
        ["cam1", "edge1", "connected", "0", "0.3", "1.2"],
        ["cam2", "edge1", "not connected", "1", "0.1", "0.4"],
        ["cam9", "edge2", "connected", "0", "0.0", "0.0"],
    ]
    assert re.findall(r'id="seen-(\d+)"', page) == ["3", "2", "1"]
    assert rows(page, "ways") == [["cam1", "cam2", "1", "1", "100.0 %", "1 min 27 s", "1 min 27 s and 1 min 27 s"]]


def test_the_part_that_is_asked_for_again_is_what_the_page_began_with(site: PersonsConsole) -> None:
    part = site.text("/live/now")
    assert "<html" not in part
    assert [row[0] for row in rows(part, "cameras")] == ["cam1", "cam2"]


def test_somebody_with_a_crop_is_shown_by_it(site: PersonsConsole) -> None:
    site.post("/persons/3/crops")
    while "/crops/" not in site.text("/live/now"):
        pass
    url = re.findall(r'src="(/crops/[^"]+)"', site.text("/live/now"))[0]
    assert site.client.get(url).headers["content-type"] == "image/jpeg"


def test_cameras_are_placed_by_numbers_and_shown_on_the_live_map(site: PersonsConsole) -> None:
    fields = {"edge": ["edge1", "edge1"], "camid": ["cam1", "cam2"], "x": ["25", ""], "y": ["50", ""]}
    page = site.post("/live/map/places", **fields).text
    assert notice(page) == "Saved: 1 cameras are on the map, 1 are not."
    assert 'transform="translate(250.0 280.0)"' in site.text("/live")
    assert site.audit()[-1].what == "map"
    site.post("/live/map/places", **CAM1, x="", y="")
    assert "No camera has a place on the map yet." in site.text("/live")


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [("101", "0", "from 0 to 100 percent, came '101'"), ("1", "", "came ''"), ("nan", "1", "came 'nan'")],
)
def test_a_place_beside_the_plan_is_refused(site: PersonsConsole, x: str, y: str, text: str) -> None:
    answer = site.post("/live/map/places", **CAM1, x=x, y=y, status=400)
    assert text in unescape(answer.text)


def test_a_plan_is_taken_shown_and_removed(site: PersonsConsole) -> None:
    page = site.post("/live/map/plan", files={"plan": ("plan.png", png(80, 40), "image/png")}).text
    assert notice(page) == "The floor plan is here: 80 x 40 pixels."
    (url,) = re.findall(r'href="(/live/map/plan/[^"]+)"', page)
    assert site.client.get(url).content.startswith(b"\xff\xd8")
    assert url in site.text("/live")
    assert "image" not in site.post("/live/map/plan/remove").text.split("data-map")[1].split("</svg>")[0]
    assert site.client.get(url).status_code == 404


def test_what_is_no_plan_is_refused_with_the_reason(site: PersonsConsole) -> None:
    answer = site.post("/live/map/plan", files={"plan": ("plan.svg", b"<svg/>", "image/svg+xml")}, status=400)
    assert "the floor plan is no readable picture" in answer.text


def test_an_answer_merges_and_is_taken_back(site: PersonsConsole) -> None:
    page = site.text("/review")
    assert "2 pairs wait" in page
    done = site.post("/review/answer", pair=question(page), said="same")
    assert notice(done.text) == "Noted: one person. Person 2 is a part of person 1 now."
    assert "1 pair waits" in done.text
    assert site.parts.person_of(2) == 1
    event = str(done.url).rpartition("=")[2]
    assert "is undone" in notice(site.post("/review/undo", event=event).text)
    assert site.parts.person_of(2) == 2


def test_different_people_are_told_apart_for_good(site: PersonsConsole) -> None:
    done = site.post("/review/answer", pair=question(site.text("/review")), said="different")
    assert notice(done.text) == "Noted: two people. Persons 1 and 2 will not be joined."
    assert [link.kind for link in site.parts.records.read_links()] == ["cannot"]
    assert [entry.subject for entry in site.audit() if entry.what == "review"] == ["persons 1, 2: different"]


def test_a_pair_nobody_is_sure_about_is_put_aside(site: PersonsConsole) -> None:
    page = site.post("/review/answer", pair=question(site.text("/review")), said="unsure").text
    assert "1 pair was put aside" in page
    assert "2 pairs wait" in site.post("/review/again").text


def test_an_answered_question_cannot_be_answered_again(site: PersonsConsole) -> None:
    name = question(site.text("/review"))
    site.post("/review/answer", pair=name, said="different")
    assert "this question is over" in site.post("/review/answer", pair=name, said="same", status=404).text


def test_pictures_of_a_pair_come_from_the_edges(site: PersonsConsole) -> None:
    page = site.text("/review")
    assert page.count("no picture here") == 2
    site.post("/review/pictures", pair=question(page))
    while "asked for" in site.text(f"/review/pictures?pair={question(page)}"):
        pass
    assert {wanted.tracklet for wanted in site.edges.asked} >= {1, 2}
    assert len(re.findall(r'src="/crops/', site.text("/review"))) >= 2


def test_a_camera_of_this_console_is_named_as_its_edge_names_it(site: PersonsConsole) -> None:
    site.connected = {"edge1": ("<b>",)}
    assert "<b>" not in site.text("/live")
    assert Camera("edge1", "<b>").camid in unescape(site.text("/live/map"))
