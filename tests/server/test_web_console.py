from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx2 as httpx
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_site import enroll, make_site, now
from fakes_stream import batch_message, hello, observation
from releases import write_tiny_release

from reid.credentials import Credentials
from reid.errors import ConfigError
from server.security.authority import Authority
from server.web.settings import WebSettings, check_web

FORM_TOKEN = re.compile('name="csrf_token" value="([^"]+)"')


@dataclass
class Running:
    """A server with a console, and who may visit it."""

    url: str
    address: str
    authority: Authority
    operator: Credentials
    viewer: Credentials

    def client(self) -> httpx.Client:
        trusted = ssl.create_default_context(cadata=self.authority.ca_pem().decode())
        return httpx.Client(base_url=self.url, verify=trusted, timeout=20)

    def visit(self, who: Credentials) -> httpx.Client:
        client = self.client()
        assert client.post("/login", data={"name": who.name, "token": who.token}).status_code == 303
        return client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, urls = tmp_path_factory.mktemp("console"), list[str]()
    authority = make_site(folder / "data")
    operator, viewer = (enroll(authority, kind, name) for kind, name in (("operator", "ann"), ("viewer", "vic")))
    web = WebSettings(listen="127.0.0.1:0", attempts_per_minute=3)
    release = write_tiny_release(folder / "release")
    with running_server(folder / "data", release, insecure=False, web=web, on_console=urls.append) as address:
        yield Running(urls[0], address, authority, operator, viewer)


@pytest.fixture
def ann(running: Running) -> Iterator[httpx.Client]:
    with closing(running.visit(running.operator)) as client:
        yield client


@pytest.fixture
def vic(running: Running) -> Iterator[httpx.Client]:
    with closing(running.visit(running.viewer)) as client:
        yield client


def test_the_console_shows_the_sites_certificate(running: Running) -> None:
    with running.client() as client:
        assert client.get("/login").status_code == 200
    with httpx.Client(base_url=running.url) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
        client.get("/login")


@pytest.mark.parametrize("path", ["/", "/persons", "/live", "/audit", "/rates.json", "/refresh", "/nowhere"])
def test_nobody_learns_anything_without_a_login(running: Running, path: str) -> None:
    with running.client() as client:
        answer = client.get(path)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


@pytest.mark.parametrize("path", ["/", "/audit", "/access", "/login", "/rates.json", "/latencies.json"])
def test_an_operator_sees_the_pages_of_the_server(ann: httpx.Client, path: str) -> None:
    assert ann.get(path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("path", ["/audit", "/access"])
def test_a_viewer_does_not_see_who_asked_and_who_may(vic: httpx.Client, path: str) -> None:
    assert vic.get(path).status_code == 403
    assert path not in vic.get("/").text


def test_the_login_goes_on_to_a_page_of_this_console_only(running: Running) -> None:
    who = {"name": "ann", "token": running.operator.token}
    for wanted, leads_to in (("/audit?actor=ann", "/audit?actor=ann"), ("//evil.example", "/"), ("/\\evil", "/")):
        with running.client() as client:
            assert client.post("/login", data={**who, "next": wanted}).headers["location"] == leads_to


def test_a_logout_ends_the_session(ann: httpx.Client) -> None:
    found = FORM_TOKEN.search(ann.get("/").text)
    assert found
    cookies = dict(ann.cookies)
    assert ann.post("/logout", data={"csrf_token": found[1]}).status_code == 303
    ann.cookies.update(cookies)
    assert ann.get("/").status_code == 303


def test_what_was_tried_is_in_the_audit_log(running: Running, ann: httpx.Client, vic: httpx.Client) -> None:
    vic.get("/audit")
    with running.client() as client:
        assert client.post("/login", data={"name": "ann", "token": "wrong"}).status_code == 401
    page = ann.get("/audit").text
    for words in ("GET /audit", "vic may look only", "name and token do not fit, from 127.0.0.1"):
        assert words in page
    assert "name and token" not in ann.get("/audit?actor=ann").text


def test_the_audit_log_is_read_by_who_what_and_when(ann: httpx.Client) -> None:
    assert "There are no such entries" not in ann.get("/audit?actor=ann&what=login&since=2020-01-01").text
    assert "There are no such entries" in ann.get("/audit?actor=ann&until=2020-01-01").text
    assert ann.get("/audit?since=yesterday").status_code == 400


def test_an_edge_that_streams_is_on_the_first_page(running: Running, ann: httpx.Client) -> None:
    edge = enroll(running.authority, "edge", "edge-1", "cam1", "cam2")
    with TalkingEdge(running.address, hello(edge_id="edge-1"), credentials=edge) as talking:
        talking.welcome()
        talking.send(batch_message(1, observation()))
        talking.acknowledgement()
        row = ann.get("/").text.partition("edge-1</th>")[2].partition("</tr>")[0]
    assert "streaming" in row
    assert "cam1, cam2" in row


def test_a_person_who_is_revoked_is_out_at_once(running: Running) -> None:
    ben = enroll(running.authority, "operator", "ben")
    with closing(running.visit(ben)) as client:
        assert client.get("/").status_code == 200
        running.authority.registry.revoke("operator", "ben", now_s=1)
        assert client.get("/").status_code == 303
        assert client.post("/login", data={"name": "ben", "token": ben.token}).status_code == 401


def test_the_access_page_says_who_was_let_in_and_shut_out(running: Running, ann: httpx.Client) -> None:
    enroll(running.authority, "viewer", "gone")
    running.authority.registry.revoke("viewer", "gone", now_s=int(now().timestamp()))
    page = ann.get("/access").text
    assert "revoked" in page.partition("gone</th>")[2].partition("</tr>")[0]
    assert "ends soon" in page.partition("ann</th>")[2].partition("</tr>")[0]


def test_a_token_of_an_edge_opens_nothing(running: Running) -> None:
    enroll(running.authority, "edge", "edge-9", "c9")
    with running.client() as client:
        assert client.post("/login", data={"name": "edge-9", "token": ""}).status_code == 401


def test_who_guesses_is_told_to_wait(running: Running) -> None:
    with running.client() as client:
        answers = [client.post("/login", data={"name": "x", "token": "y"}).status_code for _ in range(6)]
    assert answers[-1] == 429


@pytest.mark.parametrize("listen", ["8443", "127.0.0.1:x", "0.0.0.0:99999"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="wanted HOST:PORT"):
        check_web(WebSettings(listen=listen), insecure=False)


def test_without_tls_the_console_stays_within_this_machine() -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        check_web(WebSettings(listen="0.0.0.0:8443"), insecure=True)
    assert check_web(WebSettings(listen="0.0.0.0:8443"), insecure=False) == "0.0.0.0:8443"


def test_there_is_no_console_unless_it_is_asked_for() -> None:
    assert check_web(WebSettings(), insecure=False) == ""
