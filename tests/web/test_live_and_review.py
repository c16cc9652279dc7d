"""Watching the cameras, laying out the map, and answering about doubtful pairs."""

from __future__ import annotations

import re

import cv2
import numpy as np
from browsing import Visitor
from playwright.sync_api import Page, expect


def question_of(page: Page) -> str:
    """Name of the pair that is asked about."""
    return str(page.locator("input[name=pair]").first.get_attribute("value"))


def test_a_camera_that_sends_is_shown_as_connected(viewer: Visitor) -> None:
    page = viewer.open("/live")
    row = page.locator("#cameras tr", has_text="edge-c4")
    expect(row).to_contain_text("connected", timeout=90_000)
    expect(row).to_contain_text("ago", timeout=90_000)  # somebody walks by
    expect(page.locator("#cameras tr", has_text="edge-c1")).to_contain_text("not connected")


def test_learned_ways_between_cameras_are_shown(viewer: Visitor) -> None:
    rows = viewer.open("/live").locator("#ways tbody tr")
    expect(rows.first).to_contain_text(re.compile(r"c[1-4]"))


def test_a_plan_is_uploaded_and_a_camera_placed_by_numbers(operator: Visitor) -> None:
    picture = cv2.imencode(".png", np.full((300, 400, 3), 200, np.uint8))[1].tobytes()
    page = operator.open("/live/map")
    page.set_input_files("#plan-file", {"name": "plan.png", "mimeType": "image/png", "buffer": picture})
    page.get_by_role("button", name="Use this plan").click()
    expect(page.locator("#plan")).to_contain_text("400 x 300 pixels")
    page.get_by_label(re.compile("c1.*percent from the left")).fill("25")
    page.get_by_label(re.compile("c1.*percent from the top")).fill("50")
    page.get_by_role("button", name="Save the places").click()
    marker = operator.open("/live").locator("#map .camera", has_text="c1")
    expect(marker).to_have_attribute("transform", re.compile(r"translate\(250(\.0)? 375(\.0)?\)"))


def test_a_camera_is_placed_with_the_mouse(operator: Visitor) -> None:
    page = operator.open("/live/map")
    page.locator("tr[data-place]", has_text="c2").get_by_role("radio").check()
    box = page.locator("[data-map]").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    left = page.get_by_label(re.compile("c2.*percent from the left"))
    assert abs(float(left.input_value()) - 75) < 2


def test_three_pairs_are_answered_with_keys(operator: Visitor) -> None:
    page = operator.open("/review")
    seen = []
    for key, told in (("u", "Put aside"), ("d", "two people"), ("s", "one person")):
        expect(page.get_by_label("The keys S, D and U answer")).to_be_visible()  # its script runs
        seen.append(question_of(page))
        page.keyboard.press(key)
        expect(page.locator("p.notice")).to_contain_text(told)
    assert len(set(seen)) == 3
    page.get_by_role("button", name="Take the last answer back").click()
    expect(page.locator("p.notice")).to_contain_text("is undone")


def test_keys_that_are_turned_off_answer_nothing(operator: Visitor) -> None:
    page = operator.open("/review")
    before = question_of(page)
    page.get_by_label("The keys S, D and U answer").uncheck()
    page.keyboard.press("s")
    assert question_of(page) == before
    assert page.locator("p.notice").count() == 0


def test_a_viewer_is_asked_nothing(viewer: Visitor) -> None:
    page = viewer.open("/review")
    for name in ("Same person", "Different people", "Not sure"):
        assert page.get_by_role("button", name=name).count() == 0
