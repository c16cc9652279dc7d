"""Asks the console for pages, one after another on one connection, and takes the time."""

from __future__ import annotations

import http.client
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

import cv2
import numpy as np

from reid.types import UInt8Array
from simulation.golden import golden_crops

_TIMEOUT_S = 120.0
_CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
_CROP = re.compile(r'src="(/crops/[^"]+)"')
_DEEP_SHARE = 0.5
"""A page in the middle of the list: what is skipped must cost nothing."""


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """One request.

    Attributes:
        path: With its query.
        body: Of a POST; empty for a GET.
        headers: More of them.
    """

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Request = Callable[[], PageRequest]
"""Makes the next request of a page."""


class ConsoleVisitor:
    """One keep-alive connection to a console without TLS, whose visitors need no login.

    Args:
        address: HOST:PORT.
    """

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        self._cookie = ""

    def __enter__(self) -> ConsoleVisitor:
        """Connects with the first request."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._connection.close()

    def read(self, request: PageRequest) -> str:
        """The page that answers; where that only leads on to another, the address of that one.

        Raises:
            RuntimeError: It is an error page.
        """
        method = "POST" if request.body else "GET"
        headers = {**request.headers, **({"Cookie": self._cookie} if self._cookie else {})}
        self._connection.request(method, request.path, body=request.body or None, headers=headers)
        response = self._connection.getresponse()
        content = response.read()
        self._cookie = response.headers.get("set-cookie", self._cookie).partition(";")[0]
        if response.status not in (http.HTTPStatus.OK, http.HTTPStatus.SEE_OTHER):
            raise RuntimeError(f"{method} {request.path}: {response.status} {content[-500:]!r}")
        return response.headers.get("location", "") or content.decode(errors="replace")

    def time_ms(self, request: PageRequest) -> float:
        """Time until its last byte has come."""
        begin_s = time.perf_counter()
        self.read(request)
        return 1000 * (time.perf_counter() - begin_s)


def page_requests(visitor: ConsoleVisitor, *, num_persons: int, camids: Sequence[str]) -> Mapping[str, Request]:
    """What makes the next request of each page, by a name for figures."""
    rng = np.random.default_rng(1)

    def person() -> int:
        return int(rng.integers(1, num_persons + 1))

    def camera() -> str:
        return str(rng.choice(camids))

    crop = _first(_CROP, visitor.read(PageRequest(path="/persons")), "the list of persons shows no crop")
    token = _first(_CSRF, visitor.read(PageRequest(path="/search")), "the search has no form")
    photos = [_photo(image, token) for image in golden_crops()]
    known = visitor.read(photos[0])
    paths: dict[str, Callable[[], str]] = {
        "overview": lambda: "/",
        "persons": lambda: "/persons",
        "persons_deep": lambda: f"/persons?below={round(_DEEP_SHARE * num_persons) + person() // 10}",
        "persons_of_camera": lambda: f"/persons?camera={camera()}",
        "persons_by_name": lambda: f"/persons?q=visitor+{person()}",
        "persons_named": lambda: "/persons?named=true",
        "person": lambda: f"/persons/{person()}",
        "crop": lambda: crop,
        "search": lambda: "/search",
        "search_by_photo": lambda: f"{known}&box=whole",
        "search_by_person": lambda: f"/search?person={person()}",
        "live": lambda: "/live",
        "review": lambda: "/review",
        "refresh": lambda: "/refresh",
        "rollouts": lambda: "/rollouts",
        "releases": lambda: "/releases",
        "audit": lambda: "/audit",
        "access": lambda: "/access",
    }
    requests = {name: partial(_get, path) for name, path in paths.items()}
    return {**requests, "upload": lambda: photos[int(rng.integers(len(photos)))]}


def _get(path: Callable[[], str]) -> PageRequest:
    return PageRequest(path=path())


def _first(pattern: re.Pattern[str], page: str, otherwise: str) -> str:
    found = pattern.search(page)
    if found is None:
        raise RuntimeError(otherwise)
    return found[1]


def _photo(image: UInt8Array, token: str) -> PageRequest:
    """The form of the search with a crop, as a browser sends it."""
    boundary = secrets.token_hex(16)
    content = cv2.imencode(".jpg", image)[1].tobytes()
    head = 'Content-Disposition: form-data; name="photo"; filename="crop.jpg"\r\nContent-Type: image/jpeg'
    field = f'--{boundary}\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
    body = f"{field}--{boundary}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return PageRequest(path="/search", body=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
