from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from reid.channel import open_channel
from reid.credentials import Credentials, read_credentials, write_credentials
from reid.errors import ConfigError, CredentialsError

DAY_S = 86_400
MINE = Credentials(
    kind="edge",
    name="entrance",
    server="10.0.0.5:7070",
    ends_at_s=100 * DAY_S,
    ca_pem="ca",
    certificate_pem="certificate",
    key_pem="key",
    camids=("door", "hall"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_credentials(tmp_path / "entrance.bundle", MINE)
    return tmp_path / "entrance.bundle"


def test_what_was_written_is_read(path: Path) -> None:
    assert read_credentials(path) == MINE


def test_nobody_else_can_read_the_file(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620], ids=oct)
def test_a_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(CredentialsError, match="chmod 600"):
        read_credentials(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CredentialsError, match="damaged"):
        read_credentials(path)


def test_a_changed_file_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace("hall", "yard"))
    with pytest.raises(CredentialsError, match="differs from its checksum"):
        read_credentials(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"format": "osprey-credentials-2"}), "\xff"])
def test_another_file_is_refused(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(CredentialsError, match=r"entrance\.bundle"):
        read_credentials(path)


def test_a_bundle_of_a_former_version_lacks_the_root_of_releases(path: Path) -> None:
    document = json.loads(path.read_text())
    del document["release_root"], document["format"], document["sha256"]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"format": "osprey-credentials-1", "sha256": digest, **document}))
    assert read_credentials(path) == MINE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="cannot read credentials"):
        read_credentials(tmp_path / "none")


def test_secrets_do_not_show_when_printed() -> None:
    assert "key" not in repr(MINE).replace("key_pem", "")


def test_an_ended_certificate_opens_no_channel_and_says_what_to_do() -> None:
    with pytest.raises(CredentialsError, match=r"edge entrance ended on 1970-04-11.*renew edge entrance"):
        open_channel("10.0.0.5:7070", MINE, clock=lambda: 100 * DAY_S)


@pytest.mark.parametrize(("days_left", "is_said"), [(31, False), (29, True), (-1, True)])
def test_the_end_is_announced(days_left: int, is_said: bool) -> None:
    assert bool(MINE.ending_note((100 - days_left) * DAY_S, within_days=30)) is is_said


def test_plain_text_never_leaves_this_machine() -> None:
    with pytest.raises(ConfigError, match="plain text"):
        open_channel("10.0.0.5:7070", None)
    open_channel("[::1]:7070", None).close()


def test_a_bundle_is_for_one_edge_and_its_cameras() -> None:
    MINE.check_edge("entrance", ["hall"])
    with pytest.raises(CredentialsError, match=r"for edge entrance, but edge_id is 'exit'"):
        MINE.check_edge("exit", ["hall"])
    with pytest.raises(CredentialsError, match="for cameras door, hall, not yard"):
        MINE.check_edge("entrance", ["hall", "yard"])
