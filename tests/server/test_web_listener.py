from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from fakes_site import make_site, now

from reid.errors import ConfigError
from server.errors import SecurityError
from server.security.authority import Authority
from server.web.listener import Certificate, Listener
from server.web.settings import WebSettings


async def app(scope: object, receive: object, send: object) -> None:
    """Answers nothing."""


def shown_by(certificate: Certificate, ca_pem: bytes) -> dict[str, object]:
    """What a client sees of a handshake within this process."""
    client = ssl.create_default_context(cadata=ca_pem.decode())
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(inward, outward, server_hostname="127.0.0.1")
    theirs = certificate.context.wrap_bio(outward, inward, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(ours.getpeercert() or {})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_site(tmp_path)


def test_a_renewed_certificate_is_shown_without_restart(authority: Authority) -> None:
    certificate = Certificate(authority)
    before = shown_by(certificate, authority.ca_pem())
    authority.renew_server((), days=25, now=now() + timedelta(seconds=1))
    certificate.refresh()
    after = shown_by(certificate, authority.ca_pem())
    assert before["serialNumber"] != after["serialNumber"]


def test_a_damaged_certificate_leaves_the_former_one(authority: Authority) -> None:
    certificate = Certificate(authority)
    before = shown_by(certificate, authority.ca_pem())
    (authority.folder / "server.crt").write_text("damaged")
    with pytest.raises(SecurityError, match="cannot be used"):
        certificate.refresh()
    assert shown_by(certificate, authority.ca_pem()) == before


def test_a_site_without_certificates_is_told_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="osprey-server init"):
        Certificate(Authority(tmp_path))


def test_old_protocols_are_refused(authority: Authority) -> None:
    assert Certificate(authority).context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_port_is_free_again_when_the_console_has_ended(authority: Authority) -> None:
    async def main() -> str:
        listener = Listener(app, WebSettings(listen="127.0.0.1:0"), authority)
        running = asyncio.create_task(listener.run())
        await asyncio.sleep(0.3)
        listener.stop()
        await asyncio.wait_for(running, 5)
        return listener.url

    url = asyncio.run(main())
    assert url.startswith("https://127.0.0.1:")
    with socket.socket() as again:
        again.bind(("127.0.0.1", int(url.rpartition(":")[2])))


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = WebSettings(listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigError, match=r"cannot serve the console on .* is another server using it"):
            Listener(app, settings, None)
