"""Searching as an operator does: by a photo, by one of several people in it, and again by who was found."""

from __future__ import annotations

import re

from browsing import Visitor
from playwright.sync_api import Page, expect
from seeded_site import SeededSite

SEEDED = {"c1", "c2", "c3"}


def search_by(visitor: Visitor, photo: object) -> Page:
    """Choose a photo, which is sent at once."""
    page = visitor.open("/search")
    page.get_by_label("A photo of the person").set_input_files(str(photo))
    page.wait_for_url("**/search?*")
    return page


def test_a_photo_from_one_camera_finds_the_person_in_the_others(operator: Visitor, site: SeededSite) -> None:
    page = search_by(operator, site.photo)
    best = page.locator("ol.results > li").first
    expect(best).to_contain_text("match")
    best.locator("a.who-link").click()
    page.wait_for_url("**/persons/*")
    seen_in = page.locator("dt:has-text('Cameras') + dd").inner_text()
    assert set(re.findall(r"c\d", seen_in)) >= SEEDED


def test_a_search_can_be_held_to_a_camera(operator: Visitor, site: SeededSite) -> None:
    page = search_by(operator, site.photo)
    page.get_by_text("Where and when, and how many").click()
    page.get_by_label("c2", exact=True).check()
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**camera=c2**")
    results = page.locator("ol.results > li")
    expect(results.first).to_be_visible()
    assert all("in c2" in text for text in results.all_inner_texts())


def test_of_several_people_in_a_photo_one_is_chosen(operator: Visitor, site: SeededSite) -> None:
    page = search_by(operator, site.street)
    choices = page.locator(".choices a")
    expect(choices.nth(1)).to_be_visible()
    assert page.locator("ol.results").count() == 0
    choices.last.click()
    page.wait_for_url("**box=**")
    expect(page.locator("ol.results > li").first).to_be_visible()


def test_who_was_found_can_be_searched_by(operator: Visitor, site: SeededSite) -> None:
    page = search_by(operator, site.photo)
    first = page.locator("ol.results > li").first
    number = first.get_by_role("checkbox").get_attribute("value")
    first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Search again with the ticked ones").click()
    page.wait_for_url("**person=**")
    expect(page.locator(f"ul.examples a[href='/persons/{number}']").first).to_be_visible()


def test_what_is_no_photo_is_refused_in_words(operator: Visitor, site: SeededSite) -> None:
    page = operator.open("/search")
    token = str(page.locator("input[name=csrf_token]").first.get_attribute("value"))
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    answer = operator.context.request.post(f"{operator.url}/search", multipart={"csrf_token": token, "photo": file})
    assert answer.status == 400
    assert "picture" in answer.text()


def test_a_search_stands_in_the_audit_log(viewer: Visitor, operator: Visitor, site: SeededSite) -> None:
    search_by(viewer, site.photo)
    row = operator.open("/audit").locator("tr", has_text="search").filter(has_text="vic").first
    expect(row).to_contain_text("viewer")
