from __future__ import annotations

from pathlib import Path

import pytest
from fakes_web import SmallConsole

from reid.errors import ConfigError, OspreyError
from server.errors import ForbiddenError, LeaseLostError, NotFoundError, StorageError
from server.web.answers import status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFoundError, 404), (ForbiddenError, 403), (LeaseLostError, 503), (StorageError, 503), (ConfigError, 400)],
)
def test_the_nearest_class_gives_the_status(error: type[OspreyError], status: int) -> None:
    assert status_of(error("")) == status


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/missing", 404, "there is no person &lt;7&gt;"),
        ("/conflict", 409, "two at once"),
        ("/no-such-page", 404, "there is no page /no-such-page"),
        ("/change", 405, "/change does not take GET"),
        ("/number?value=x", 400, "value: "),
        ("/broken", 500, "its log says why"),
    ],
)
def test_an_error_is_a_page_that_says_what_is_wrong(tmp_path: Path, path: str, status: int, words: str) -> None:
    client, _ = SmallConsole(tmp_path).visit("viewer", "vic")
    answer = client.get(path)
    assert answer.status_code == status
    assert words in answer.text
    assert "<nav" in answer.text
    assert "secret words" not in answer.text


def test_a_part_of_a_page_gets_a_part_that_says_it(tmp_path: Path) -> None:
    client, _ = SmallConsole(tmp_path).visit("viewer", "vic")
    answer = client.get("/missing", headers={"HX-Request": "true"})
    assert "there is no person" in answer.text
    assert "<html" not in answer.text


def test_what_was_done_is_said_once(tmp_path: Path) -> None:
    client, session = SmallConsole(tmp_path).visit("operator", "ann")
    client.post("/change", data={"csrf_token": session.csrf_token})
    assert "Changed." in client.get("/missing").text
    assert "Changed." not in client.get("/missing").text
