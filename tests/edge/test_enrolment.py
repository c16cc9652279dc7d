from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.enrolment import open_bundle
from edge.settings import AgentSettings
from reid.credentials import Credentials, write_credentials
from reid.errors import ConfigError, CredentialsError

MINE = Credentials(
    kind="edge",
    name="entrance",
    server="10.0.0.5:7070",
    ends_at_s=0,
    ca_pem="",
    certificate_pem="",
    key_pem="",
    camids=("door", "hall"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_credentials(tmp_path / "b", MINE)
    return tmp_path / "b"


def settings(**values: Any) -> AgentSettings:
    return AgentSettings(cameras={"door": "x.mp4"}, release=Path(__file__).parent, **values)


def test_the_bundle_names_edge_and_server(path: Path) -> None:
    completed, bundle = open_bundle(settings(bundle=path))
    assert (completed.edge_id, completed.server) == ("entrance", "10.0.0.5:7070")
    assert bundle is not None


def test_another_address_may_be_given(path: Path) -> None:
    assert open_bundle(settings(bundle=path, server="127.0.0.1:9"))[0].server == "127.0.0.1:9"


def test_another_edge_or_camera_may_not(path: Path) -> None:
    with pytest.raises(CredentialsError, match="leave edge_id out"):
        open_bundle(settings(bundle=path, edge_id="exit"))
    strange = settings(bundle=path).model_copy(update={"cameras": {"yard": "x.mp4"}})
    with pytest.raises(CredentialsError, match="not yard"):
        open_bundle(strange)


def test_a_persons_credentials_are_no_bundle(tmp_path: Path) -> None:
    made = Credentials(
        kind="viewer", name="v", server="a:1", ends_at_s=0, ca_pem="", certificate_pem="", key_pem="", token="t"
    )
    write_credentials(tmp_path / "v", made)
    with pytest.raises(CredentialsError, match=r"credentials of viewer v, wanted the bundle of an edge"):
        open_bundle(settings(bundle=tmp_path / "v", edge_id="v"))


def test_plain_text_stays_on_this_machine() -> None:
    assert open_bundle(settings(server="127.0.0.1:9"))[1] is None
    with pytest.raises(ConfigError, match="--bundle FILE"):
        open_bundle(settings(server="10.0.0.5:9"))


def test_neither_server_nor_bundle_is_an_error() -> None:
    with pytest.raises(ValueError, match="no server: name a bundle"):
        settings()
