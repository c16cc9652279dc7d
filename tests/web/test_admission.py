"""Who comes in, and what they may do."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing

import pytest
from browsing import Visitor
from console_process import ConsoleProcess
from playwright.sync_api import expect
from seeded_site import SeededSite


def test_an_operator_logs_in_and_out(stranger: Visitor, site: SeededSite) -> None:
    stranger.log_in(site.operator)
    expect(stranger.page.locator("header")).to_contain_text("ann (operator)")
    stranger.page.get_by_role("button", name="Log out").click()
    assert stranger.open("/persons").url.startswith(f"{stranger.url}/login")


def test_the_login_leads_to_the_page_that_was_asked_for(stranger: Visitor, site: SeededSite) -> None:
    page = stranger.open("/persons?named=true")
    page.get_by_label("Name").fill(site.viewer.name)
    page.get_by_label("Token").fill(site.viewer.token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/persons?named=true")


def test_the_cookie_of_a_login_is_out_of_reach_of_scripts_and_other_sites(stranger: Visitor, site: SeededSite) -> None:
    stranger.log_in(site.viewer)
    (cookie,) = stranger.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"] == "Strict"
    assert stranger.page.evaluate("document.cookie") == ""


def test_nobody_gets_pictures_or_changes_anything_without_a_login(stranger: Visitor, site: SeededSite) -> None:
    ask = stranger.context.request
    for path in (f"/persons/{site.person_id}", f"/persons/{site.person_id}/export?format=json", "/crops/1/1.jpg"):
        assert "/login" in ask.get(stranger.url + path).url
    answer = ask.post(f"{stranger.url}/persons/merge", form={"person": "1"}, max_redirects=0)
    assert answer.status in (303, 401, 403)


def test_a_viewer_sees_no_button_that_changes_a_person(viewer: Visitor, site: SeededSite) -> None:
    page = viewer.open(f"/persons/{site.person_id}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for name in ("Merge", "Split", "Undo", "Erase", "Rename"):
        assert page.locator("main").get_by_role("button", name=name).count() == 0


@pytest.mark.parametrize("what", ["merge", "{person}/split", "{person}/undo", "{person}/erase", "{person}/name"])
def test_a_viewer_cannot_change_a_person_by_any_request(viewer: Visitor, site: SeededSite, what: str) -> None:
    token = viewer.open("/search").locator("input[name=csrf_token]").first.get_attribute("value")
    form = {"csrf_token": str(token), "person": "1", "event": "1", "confirm": str(site.person_id), "name": "Mallory"}
    path = f"{viewer.url}/persons/{what.format(person=site.person_id)}"
    assert viewer.context.request.post(path, form=form).status == 403


def test_a_form_without_its_token_changes_nothing(operator: Visitor, site: SeededSite) -> None:
    path = f"{operator.url}/persons/{site.person_id}/name"
    for token in ("", "guessed"):
        answer = operator.context.request.post(path, form={"csrf_token": token, "name": "Mallory"})
        assert answer.status == 403
    expect(operator.open(f"/persons/{site.person_id}").locator("main")).not_to_contain_text("Mallory")


def test_guessing_a_token_is_slowed_down(console: ConsoleProcess) -> None:
    answers = [_guess(console, "127.0.0.9") for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2


def _guess(console: ConsoleProcess, address: str) -> int:
    """Try a token from an address of this machine, so that logins from another one are not slowed down."""
    connection = http.client.HTTPSConnection(
        console.url.removeprefix("https://"), source_address=(address, 0), context=ssl._create_unverified_context()
    )
    with closing(connection):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", body="name=ann&token=guessed", headers=form)
        return connection.getresponse().status
