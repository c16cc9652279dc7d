"""Takes a picture of each page of a running console, as `docs/console.md` shows them.

    .venv/bin/python tests/web/take_pictures.py URL CREDENTIALS OUT [--dark] [--phone] [--photo FILE]

What is shown depends on the site; pictures of real people must not be kept in the repository.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
from browsing import Visitor, launch, visiting
from playwright.sync_api import sync_playwright

from reid.credentials import read_credentials

_PAGES = ("", "live", "persons", "review", "refresh", "rollouts", "releases", "audit", "access")
_DESK, _PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 844}
_TALLEST_PX, _LEAST_PX = 1500, 400
_SETTLE_MS = 800
_WEBP_QUALITY = 80


def main() -> None:
    """Log in, walk, and take the pictures."""
    chosen = _parse()
    chosen.out.mkdir(parents=True, exist_ok=True)
    scheme = "dark" if chosen.dark else "light"
    with sync_playwright() as playwright:
        browser = launch(playwright)
        size = _PHONE if chosen.phone else _DESK
        with visiting(browser, chosen.url.rstrip("/"), viewport=size, color_scheme=scheme) as visitor:
            _walk(visitor, chosen)
            for fault in visitor.faults:
                print(fault, file=sys.stderr)  # noqa: T201
        browser.close()


def _walk(visitor: Visitor, chosen: argparse.Namespace) -> None:
    visitor.open("/login")
    _take(visitor, chosen.out / "login.webp")
    visitor.log_in(read_credentials(chosen.credentials))
    for path in _PAGES:
        visitor.open(f"/{path}")
        _take(visitor, chosen.out / f"{path or 'overview'}.webp")
    for path, name in (("/persons", "person"), ("/refresh", "refresh-run"), ("/releases", "release")):
        if address := _first_link(visitor, path):
            visitor.open(address)
            _take(visitor, chosen.out / f"{name}.webp")
    if chosen.photo is not None:
        visitor.open("/search")
        visitor.page.set_input_files("input[type=file]", chosen.photo)
        visitor.page.wait_for_url("**/search?**")
        _take(visitor, chosen.out / "search.webp")


def _first_link(visitor: Visitor, path: str) -> str:
    """The first link of a page that leads below it."""
    page = visitor.open(path)
    links = page.eval_on_selector_all("main a[href]", "links => links.map(link => link.getAttribute('href'))")
    return next((link for link in links if link.startswith(f"{path}/")), "")


def _take(visitor: Visitor, path: Path) -> None:
    """The whole page, or its upper part if it is long, in a window that is as tall."""
    page, taken = visitor.page, path.with_suffix(".png")
    width = page.viewport_size["width"] if page.viewport_size else _DESK["width"]
    page.set_viewport_size({"width": width, "height": _TALLEST_PX})
    page.wait_for_load_state("load")
    page.wait_for_timeout(_SETTLE_MS)
    tall = min(_TALLEST_PX, int(page.evaluate("document.body.scrollHeight")))
    page.screenshot(path=taken, clip={"x": 0, "y": 0, "width": width, "height": max(tall, _LEAST_PX)})
    picture = cv2.imread(str(taken))
    assert picture is not None, f"{taken} is no picture"
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY])
    taken.unlink()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pictures of all pages of a running console.")
    parser.add_argument("url", help="the console's address")
    parser.add_argument("credentials", type=Path, help="of an operator or viewer")
    parser.add_argument("out", type=Path, help="folder")
    parser.add_argument("--dark", action="store_true", help="as on a dark desktop")
    parser.add_argument("--phone", action="store_true", help="as on a phone")
    parser.add_argument("--photo", type=Path, default=None, help="to search for")
    return parser.parse_args()


if __name__ == "__main__":
    main()
