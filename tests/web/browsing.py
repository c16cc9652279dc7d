"""A visitor of the console in headless Chromium, who notices what must not happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, Response

from reid.credentials import Credentials

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js"
PHONE = {"width": 360, "height": 740}
_SLOW_MS = 30_000


class Visitor:
    """One person's pages, and what went wrong on them.

    Args:
        context: Of the browser; closed by whoever made it.
        url: The console's address.

    Attributes:
        page: What is open.
        faults: Errors of scripts and pages, and requests to other machines.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.faults: list[str] = []
        context.set_default_timeout(_SLOW_MS)
        context.on("request", self._note_request)
        context.on("response", self._note_response)
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self.faults.append(f"script: {error.error}"))
        self.page: Page = context.new_page()
        self.page.on("dialog", lambda dialog: dialog.accept())

    def open(self, path: str) -> Page:
        """Go to a page."""
        self.page.goto(self.url + path, wait_until="domcontentloaded")
        return self.page

    def log_in(self, credentials: Credentials) -> None:
        """Log in by name and token."""
        page = self.open("/login")
        page.get_by_label("Name").fill(credentials.name)
        page.get_by_label("Token").fill(credentials.token)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login" not in url)

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical on the open page."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))  # not a script tag: the page allows none of others
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [_in_words(item) for item in found["violations"] if item["impact"] in ("serious", "critical")]

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.faults.append(f"request to another machine: {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.request.method} {response.url}: {response.status}")

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console of {message.page.url if message.page else '?'}: {message.text}")


def _in_words(violation: dict[str, Any]) -> str:
    places = [node["html"][:160] for node in violation["nodes"][:3]]
    return f"{violation['id']} ({violation['impact']}): {violation['help']}: {places}"


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium; nothing it does by itself goes out."""
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=switches)


@contextmanager
def visiting(browser: Browser, url: str, *, state: Path | None = None, **options: Any) -> Iterator[Visitor]:
    """A visitor with cookies of their own.

    Args:
        browser: Launched.
        url: The console's address.
        state: File with the cookies of an earlier login.
        options: Of the context, such as `viewport`.
    """
    cookies = {"storage_state": str(state)} if state else {}
    context = browser.new_context(ignore_https_errors=True, accept_downloads=True, **cookies, **options)
    try:
        yield Visitor(context, url)
    finally:
        context.close()
