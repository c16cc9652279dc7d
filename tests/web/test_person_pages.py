"""Correcting identities as an operator does: merge, split, undo, name, erase."""

from __future__ import annotations

import csv
import io
import json
import re

from browsing import Visitor
from playwright.sync_api import Page, expect
from seeded_site import SeededSite


def person_of(page: Page) -> int:
    """Whose page is open."""
    found = re.search(r"/persons/(\d+)", page.url)
    assert found, page.url
    return int(found[1])


def open_person(visitor: Visitor, site: SeededSite, *, least_tracklets: int = 1) -> int:
    """Open the page of somebody whom no other test needs; the latest with enough tracklets."""
    page = visitor.open("/persons?camera=c1&camera=c2&camera=c3")
    for link in page.locator("a.who-link").all():
        number = int(str(link.get_attribute("href")).rpartition("/")[2])
        facts = link.locator("xpath=..").inner_text()
        if number != site.person_id and int(re.findall(r"(\d+) tracklet", facts)[0]) >= least_tracklets:
            visitor.open(f"/persons/{number}")
            return number
    raise AssertionError(f"nobody has {least_tracklets} tracklets")


def open_until(visitor: Visitor, path: str, selector: str) -> Page:
    """Open a page, anew until something is on it that the running edge brings."""
    while not visitor.open(path).locator(selector).count():
        visitor.page.wait_for_timeout(500)
    return visitor.page


def num_tracklets(page: Page) -> int:
    """As the page of a person says it."""
    return int(page.locator("dt:text-is('Tracklets') + dd").inner_text())


def undo_latest(page: Page) -> None:
    """Undo what stands first in the lineage."""
    page.locator("#lineage").get_by_role("button", name="Undo").first.click()
    expect(page.locator("p.notice")).to_contain_text("is undone")


def test_two_persons_are_merged_and_the_merge_undone(operator: Visitor, site: SeededSite) -> None:
    page = operator.open("/persons?camera=c1")
    boxes = page.locator(f"input[type=checkbox][name=person]:not([value='{site.person_id}'])")
    chosen = [str(boxes.nth(number).get_attribute("value")) for number in (0, 1)]
    for number in (0, 1):
        boxes.nth(number).check()
    page.get_by_role("button", name="Merge the ticked ones").click()
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.locator("p.notice")).to_contain_text("Merged")
    kept, gone = sorted(map(int, chosen), key=lambda number: number != person_of(page))
    assert page.locator("#lineage").get_by_text(f"person {gone} became a part of person {kept}").count() == 1
    undo_latest(page)
    expect(operator.open(f"/persons/{gone}").locator("h1")).to_contain_text(f"Person {gone}")
    assert num_tracklets(page) >= 1


def test_a_tracklet_is_split_off_and_the_split_undone(operator: Visitor, site: SeededSite) -> None:
    number = open_person(operator, site, least_tracklets=2)
    page = operator.page
    before = num_tracklets(page)
    page.locator("#tracklets input[name=tracklet]").first.check()
    page.get_by_role("button", name="Split off the ticked ones").click()
    expect(page.locator("p.notice")).to_contain_text("Split off as person")
    made = person_of(page)
    assert made != number
    assert num_tracklets(page) == 1
    undo_latest(page)
    operator.open(f"/persons/{number}")
    assert num_tracklets(page) == before


def test_a_name_is_shown_and_found(operator: Visitor, site: SeededSite) -> None:
    page = operator.open(f"/persons/{site.person_id}")
    page.get_by_label("Name").fill("Ada <b>Lovelace</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_contain_text("Ada <b>Lovelace</b>")
    page = operator.open("/persons?q=lovelace")
    expect(page.locator("a.who-link")).to_have_count(1)


def test_sightings_are_exported(operator: Visitor, site: SeededSite) -> None:
    path = f"{operator.url}/persons/{site.person_id}/export?format="
    sent = {kind: operator.context.request.get(path + kind) for kind in ("json", "csv", "mot")}
    assert {kind: answer.status for kind, answer in sent.items()} == {"json": 200, "csv": 200, "mot": 200}
    assert json.loads(sent["json"].text())
    rows = list(csv.reader(io.StringIO(sent["csv"].text())))
    assert len(rows) > 10
    assert all("attachment" in answer.headers["content-disposition"] for answer in sent.values())


def test_crops_of_an_edge_that_is_away_are_shown_as_asked_for(operator: Visitor, site: SeededSite) -> None:
    page = operator.open(f"/persons/{site.person_id}")
    page.get_by_role("button", name=re.compile("Ask the edges for (more )?crops")).click()
    expect(page.locator("#crop-part .pending").first).to_contain_text("asked for")
    expect(page.get_by_role("status").first).to_contain_text("still to come")


def test_crops_of_an_edge_that_is_there_come(operator: Visitor, site: SeededSite) -> None:
    open_until(operator, "/persons", "input[name=camera][value=c4]")
    others = f"a.who-link:not([href='/persons/{site.person_id}'])"
    page = open_until(operator, "/persons?camera=c4", others)  # without provisional ones, who soon become others
    page.locator(others).first.click()
    page.wait_for_url("**/persons/*")
    before = page.locator("#crop-part img").count()
    page.get_by_role("button", name=re.compile("Ask the edges for (more )?crops")).click()
    expect(page.locator("#crop-part img").nth(before)).to_be_visible()


def test_nobody_is_erased_by_the_wrong_number(operator: Visitor, site: SeededSite) -> None:
    page = operator.open(f"/persons/{site.person_id}/erase")
    token = str(page.locator("input[name=csrf_token]").last.get_attribute("value"))
    answer = operator.context.request.post(page.url, form={"csrf_token": token, "confirm": str(site.person_id + 1)})
    assert answer.status == 409
    assert operator.context.request.get(f"{operator.url}/persons/{site.person_id}").ok


def test_a_person_is_erased_with_their_crops(operator: Visitor, site: SeededSite) -> None:
    number = open_person(operator, site)
    page = operator.page
    crop = page.locator("#crop-part img").first.get_attribute("src")
    page.get_by_role("link", name="Erase…").click()
    page.get_by_label(f"To confirm, type the number {number}").fill(str(number))
    page.get_by_role("button", name="Erase").click()
    expect(page.locator("p.notice")).to_contain_text(f"Person {number} is erased")
    expect(operator.open(f"/persons/{number}").locator("main")).to_contain_text("was erased")
    assert operator.context.request.get(f"{operator.url}{crop}").status == 404
