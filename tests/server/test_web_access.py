from __future__ import annotations

from pathlib import Path

import pytest
from fakes_web import SmallConsole

from server.types import Actor


@pytest.fixture
def console(tmp_path: Path) -> SmallConsole:
    return SmallConsole(tmp_path)


@pytest.mark.parametrize("path", ["/look", "/secret", "/missing", "/no-such-page"])
def test_an_anonymous_visitor_sees_the_login_only(console: SmallConsole, path: str) -> None:
    answer = console.client().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=%2F{path[1:]}")


def test_an_anonymous_change_is_not_made(console: SmallConsole) -> None:
    assert console.client().post("/change").status_code == 303
    assert not console.changes


def test_a_part_of_a_page_sends_the_browser_to_the_login(console: SmallConsole) -> None:
    answer = console.client().get("/look", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


def test_an_operator_changes_with_the_token_of_the_form(console: SmallConsole) -> None:
    client, session = console.visit("operator", "ann")
    assert client.post("/change", data={"csrf_token": session.csrf_token}).status_code == 303
    assert console.changes == [Actor("ann", "operator")]


def test_an_operator_changes_with_the_token_of_the_header(console: SmallConsole) -> None:
    client, session = console.visit("operator", "ann")
    assert client.post("/change", headers={"X-CSRF-Token": session.csrf_token}).status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", "ümlaut"])
def test_a_change_without_the_token_is_refused_and_noted(console: SmallConsole, token: str) -> None:
    client, _ = console.visit("operator", "ann")
    assert client.post("/change", data={"csrf_token": token}).status_code == 403
    assert not console.changes
    assert console.refusals == [("ann", "POST /change")]


def test_the_token_of_another_session_is_refused(console: SmallConsole) -> None:
    client, _ = console.visit("operator", "ann")
    _, other = console.visit("operator", "ben")
    assert client.post("/change", data={"csrf_token": other.csrf_token}).status_code == 403


def test_a_viewer_changes_nothing_even_where_the_page_forgot_to_ask(console: SmallConsole) -> None:
    client, session = console.visit("viewer", "vic")
    answer = client.post("/change", data={"csrf_token": session.csrf_token})
    assert answer.status_code == 403
    assert "operator" in answer.text
    assert not console.changes


def test_a_viewer_looks_and_searches_but_sees_no_page_of_operators(console: SmallConsole) -> None:
    client, session = console.visit("viewer", "vic")
    assert client.get("/look").json() == {"name": "vic", "role": "viewer"}
    assert client.post("/find", data={"csrf_token": session.csrf_token}).status_code == 200
    assert client.get("/secret").status_code == 403


def test_a_search_needs_the_token_too(console: SmallConsole) -> None:
    client, _ = console.visit("viewer", "vic")
    assert client.post("/find").status_code == 403


def test_a_revoked_person_is_out_at_the_next_page(console: SmallConsole) -> None:
    client, _ = console.visit("operator", "ann")
    console.authority.registry.revoke("operator", "ann", now_s=1)
    assert client.get("/look").status_code == 303


def test_who_was_idle_for_too_long_must_log_in_again(console: SmallConsole) -> None:
    client, _ = console.visit("operator", "ann")
    console.clock.now_s += 101
    assert client.get("/look").status_code == 303


def test_without_tls_everybody_on_this_machine_is_an_operator(tmp_path: Path) -> None:
    console = SmallConsole(tmp_path, is_tls=False)
    client = console.client()
    assert client.get("/secret").json() == {"name": "local"}
    session = console.sessions.find(client.cookies["osprey"])
    assert session is not None
    assert client.post("/change", data={"csrf_token": session.csrf_token}).status_code == 303


def test_without_tls_a_change_needs_the_token_too(tmp_path: Path) -> None:
    client = SmallConsole(tmp_path, is_tls=False).client()
    client.get("/look")
    assert client.post("/change").status_code == 403
