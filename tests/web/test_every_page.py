"""What holds for each page alike: it opens, reads well everywhere, and asks nobody else for anything."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from browsing import PHONE, Visitor
from seeded_site import SeededSite

PAGES = (
    "/",
    "/live",
    "/search",
    "/persons",
    "/persons/{person}",
    "/persons/{person}/erase",
    "/review",
    "/refresh",
    "/refresh/1",
    "/refresh/2",
    "/rollouts",
    "/rollouts/1",
    "/releases",
    "/releases/{released}",
    "/audit",
    "/access",
)


@pytest.fixture(params=PAGES)
def path(request: pytest.FixtureRequest, site: SeededSite) -> str:
    return _filled(str(request.param), site)


def _filled(path: str, site: SeededSite) -> str:
    return path.format(person=site.person_id, released=site.released)


def test_a_page_opens_with_one_heading(operator: Visitor, path: str) -> None:
    page = operator.open(path)
    assert page.title().endswith("Osprey")
    assert page.locator("h1").count() == 1
    assert page.locator("nav [aria-current=page]").count() == 1


@pytest.mark.usefixtures("axe")
def test_a_page_has_no_serious_fault_of_accessibility_in_light_and_dark(operator: Visitor, path: str) -> None:
    operator.open(path).wait_for_load_state("load")
    assert operator.violations() == []
    operator.page.emulate_media(color_scheme="dark")
    operator.page.reload(wait_until="load")
    assert operator.violations() == []


def test_a_page_fits_a_phone(phone: Visitor, path: str) -> None:
    page = phone.open(path)
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_page_can_be_read_without_scripts(scriptless: Visitor, path: str) -> None:
    page = scriptless.open(path)
    heading = page.inner_text("main h1")
    assert heading
    assert len(page.inner_text("main")) > len(heading) + 20
    assert not any(part.is_visible() for part in page.locator(".script-only").all())


def test_a_page_is_for_those_who_are_logged_in(stranger: Visitor, path: str) -> None:
    answer = stranger.context.request.get(stranger.url + path)
    assert urlsplit(answer.url).path == "/login"
    assert "<nav" not in answer.text()


def test_no_page_leads_to_a_dead_end(operator: Visitor, site: SeededSite) -> None:
    links: set[str] = set()
    for path in PAGES:
        address = operator.url + _filled(path, site)
        text = operator.context.request.get(address).text()
        found = re.findall(r'(?:href|src)="([^"]+)"', text)
        links |= {urljoin(address, unescape(link)).partition("#")[0] for link in found}
    answers = {link: operator.context.request.get(link).status for link in sorted(links)}
    assert {link: status for link, status in answers.items() if status != 200} == {}
