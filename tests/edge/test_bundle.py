from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.bundle import Bundle
from reid.credentials import Credentials, write_credentials
from reid.errors import CredentialsError

DAY_S = 86_400
MINE = Credentials(
    kind="edge",
    name="e1",
    server="10.0.0.5:7070",
    ends_at_s=100 * DAY_S,
    ca_pem="",
    certificate_pem="",
    key_pem="",
    camids=("c1",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_credentials(tmp_path / "b", MINE)
    return tmp_path / "b"


def test_a_renewed_bundle_is_read_without_restart(path: Path) -> None:
    bundle = Bundle(path, "e1", ["c1"], clock=lambda: 150 * DAY_S)
    with pytest.raises(CredentialsError, match=r"edge e1 ended on .* renew edge e1"):
        bundle.read()
    write_credentials(path, dataclasses.replace(MINE, ends_at_s=200 * DAY_S))
    assert bundle.read().ends_at_s == 200 * DAY_S


def test_another_edges_bundle_is_refused(path: Path) -> None:
    with pytest.raises(CredentialsError, match="the bundle is for edge e1"):
        Bundle(path, "e2", ["c1"], clock=lambda: 0).read()


def test_the_end_is_announced_once_a_day(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now_s = [60.0 * DAY_S]
    bundle = Bundle(path, "e1", ["c1"], clock=lambda: now_s[0])
    said = []
    for days in (60, 71, 71.5, 72.1):
        now_s[0] = days * DAY_S
        bundle.read()
        bundle.warn_if_ending()
        said.append("ends on" in capsys.readouterr().out)
    assert said == [False, True, False, True]
