from __future__ import annotations

from pathlib import Path

import pytest
from fakes_web import SmallConsole


@pytest.fixture
def console(tmp_path: Path) -> SmallConsole:
    return SmallConsole(tmp_path)


@pytest.mark.parametrize("path", ["/look", "/broken", "/missing", "/no-such-page"])
def test_every_answer_forbids_scripts_from_elsewhere_and_frames(console: SmallConsole, path: str) -> None:
    client, _ = console.visit("operator", "ann")
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "strict-transport-security" in headers


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["origin", "no-origin", "fetch-site"],
)
def test_a_form_of_another_site_is_refused(console: SmallConsole, headers: dict[str, str]) -> None:
    client, session = console.visit("operator", "ann")
    answer = client.post("/change", data={"csrf_token": session.csrf_token}, headers=headers)
    assert answer.status_code == 403
    assert not console.changes


def test_a_form_of_this_site_is_taken(console: SmallConsole) -> None:
    client, session = console.visit("operator", "ann")
    headers = {"Origin": console.url, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/change", data={"csrf_token": session.csrf_token}, headers=headers).status_code == 303


def test_a_request_that_is_too_large_is_not_read(console: SmallConsole) -> None:
    client, session = console.visit("operator", "ann")
    answer = client.post("/change", data={"csrf_token": session.csrf_token, "more": "x" * 1000})
    assert answer.status_code == 413


def test_a_request_that_hides_its_length_is_refused_while_it_is_read(console: SmallConsole) -> None:
    client, session = console.visit("operator", "ann")
    parts = [f"csrf_token={session.csrf_token}&more=".encode(), *[b"x" * 400] * 4]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/change", content=iter(parts), headers=headers).status_code == 413
    assert not console.changes


@pytest.mark.parametrize("cookie", ["__Host-osprey=wrong", "broken=;=;", "__Host-osprey"])
def test_a_cookie_that_is_none_of_ours_is_nobody(console: SmallConsole, cookie: str) -> None:
    assert console.client().get("/look", headers={"Cookie": cookie}).status_code == 303


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8080", 200), ("127.0.0.1", 200), ("[::1]:8080", 200), ("[::1]", 200), ("evil.example:8080", 421)],
)
def test_without_tls_no_other_name_leads_here(tmp_path: Path, host: str, status: int) -> None:
    client = SmallConsole(tmp_path, is_tls=False).client()
    assert client.get("/look", headers={"Host": host}).status_code == status


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(tmp_path: Path) -> None:
    cookie = SmallConsole(tmp_path, is_tls=False).client().get("/look").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
