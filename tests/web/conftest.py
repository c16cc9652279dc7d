"""One real server with a small site in it, and visitors in Chromium, for all tests of the console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import AXE, CHROMIUM, PHONE, Visitor, launch, visiting
from console_process import ConsoleProcess
from playwright.sync_api import Browser, expect, sync_playwright
from seeded_site import SeededSite, seed_site

from reid.credentials import Credentials
from reid.release import load_release
from server.settings import DEFAULT_RELEASE

expect.set_options(timeout=30_000)  # a busy machine is no fault of a page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.is_file():
        pytest.skip("Chromium is not installed: 'make chromium' does it where apt-get and root are at hand")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: 'make test' does it where npm is at hand")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> SeededSite:
    return seed_site(tmp_path_factory.mktemp("site"), load_release(DEFAULT_RELEASE))


@pytest.fixture(scope="session")
def console(site: SeededSite, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    process = ConsoleProcess(site, tmp_path_factory.mktemp("processes"), DEFAULT_RELEASE)
    try:
        process.start()
        process.start_edge()
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def logins(
    chromium: Browser, console: ConsoleProcess, site: SeededSite, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Cookies of an operator and of a viewer, by role."""
    folder = tmp_path_factory.mktemp("logins")
    return {who.kind: _log_in(chromium, console, who, folder / who.kind) for who in (site.operator, site.viewer)}


@pytest.fixture
def operator(chromium: Browser, console: ConsoleProcess, logins: dict[str, Path]) -> Iterator[Visitor]:
    with visiting(chromium, console.url, state=logins["operator"]) as visitor:
        yield visitor
    assert not visitor.faults


@pytest.fixture
def viewer(chromium: Browser, console: ConsoleProcess, logins: dict[str, Path]) -> Iterator[Visitor]:
    with visiting(chromium, console.url, state=logins["viewer"]) as visitor:
        yield visitor
    assert not visitor.faults


@pytest.fixture
def stranger(chromium: Browser, console: ConsoleProcess) -> Iterator[Visitor]:
    with visiting(chromium, console.url) as visitor:
        yield visitor
    assert not visitor.faults


@pytest.fixture
def phone(chromium: Browser, console: ConsoleProcess, logins: dict[str, Path]) -> Iterator[Visitor]:
    with visiting(chromium, console.url, state=logins["operator"], viewport=PHONE) as visitor:
        yield visitor
    assert not visitor.faults


@pytest.fixture
def scriptless(chromium: Browser, console: ConsoleProcess, logins: dict[str, Path]) -> Iterator[Visitor]:
    with visiting(chromium, console.url, state=logins["operator"], java_script_enabled=False) as visitor:
        yield visitor
    assert not visitor.faults


def _log_in(chromium: Browser, console: ConsoleProcess, who: Credentials, state: Path) -> Path:
    with visiting(chromium, console.url) as visitor:
        visitor.log_in(who)
        visitor.context.storage_state(path=str(state))
    return state
