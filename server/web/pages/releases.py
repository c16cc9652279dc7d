"""The pages of releases: all of them, and the card of one beside another."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from server.releases.card import Difference, differences, gate_word
from server.releases.registry import RegisteredRelease
from server.web.console import Console
from server.web.renderer import render

_LISTED = ("registered_us", "num_bytes", "is_served")


class ReleasePages:
    """See the routes below."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def all(self, request: Request) -> HTMLResponse:
        """All releases, the latest first."""
        found = self._console.site.registry.list()
        return render(request, "releases.html", releases=found[::-1], gate_word=gate_word, runs_it=self._runs_it())

    def one(self, request: Request, space: str, against: str = "") -> HTMLResponse:
        """The card of a release, and in what it differs from another, by default its parent."""
        registry = self._console.site.registry
        release = registry.get(space)
        others = [known for known in registry.list() if known.ref.space != space]
        other = _other(others, against or release.manifest.parent or "")
        if against:
            other = registry.get(against)
        found = _telling(differences(other, release)) if other else []
        latest = self._console.roller.latest
        return render(
            request,
            "release.html",
            release=release,
            gate_word=gate_word,
            others=others,
            other=other,
            differences=[each for each in found if not _is_of_gate(each)],
            gate_differences=[each for each in found if _is_of_gate(each) and not each.what.endswith(".reason")],
            runs_it=self._runs_it().get(space, []),
            is_rolling=latest is not None and latest.is_active,
        )

    def _runs_it(self) -> dict[str, list[str]]:
        """The edges that say they run a release, by its space."""
        found: dict[str, list[str]] = {}
        for edge_id, report in self._console.book.reports().items():
            found.setdefault(report.release.space, []).append(edge_id)
        return found


def _other(others: list[RegisteredRelease], space: str) -> RegisteredRelease | None:
    return next((known for known in others if known.ref.space == space), None)


def _telling(found: list[Difference]) -> list[Difference]:
    """Without hashes, which tell people nothing, and what stands in the list of all releases."""
    return [each for each in found if not each.what.startswith("sha256.") and each.what not in _LISTED]


def _is_of_gate(difference: Difference) -> bool:
    return difference.what.startswith("verdict.")


def routes(console: Console) -> APIRouter:
    """`/releases` and below."""
    pages, router = ReleasePages(console), APIRouter(prefix="/releases")
    router.get("")(pages.all)
    router.get("/{space}")(pages.one)
    return router
