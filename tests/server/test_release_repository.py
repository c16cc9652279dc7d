from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from releases import write_tiny_release
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater

from reid.release import ALIGNMENT_FILE, TRAINABLE_FILE, load_release
from server.errors import ConflictError, LeaseLostError, NotFoundError, SecurityError
from server.releases.repository import ReleaseRepository, check_space
from server.releases.signing import SIGNING_ROLES, SigningSettings

NOON = datetime.now(timezone.utc).replace(microsecond=0)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class RepositoryFetcher(FetcherInterface):
    """Reads what the server would send."""

    def __init__(self, repository: ReleaseRepository) -> None:
        self._repository = repository

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._repository.read(url.removeprefix("tuf:/"), 0)
        except NotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> ReleaseRepository:
    repository = ReleaseRepository(tmp_path / "data", clock=clock)
    repository.make()
    return repository


def updater(repository: ReleaseRepository, folder: Path, root: str) -> Updater:
    """An edge that trusts this root."""
    folder.mkdir(exist_ok=True)
    return Updater(
        str(folder),
        "tuf:/metadata/",
        str(folder),
        "tuf:/targets/",
        fetcher=RepositoryFetcher(repository),
        bootstrap=root.encode(),
    )


def fetch(repository: ReleaseRepository, folder: Path, root: str, path: str) -> bytes | None:
    edge = updater(repository, folder, root)
    edge.refresh()
    target = edge.get_targetinfo(path)
    return None if target is None else Path(edge.download_target(target, str(folder / "got"))).read_bytes()


def test_edge_downloads_what_was_published(repository: ReleaseRepository, tmp_path: Path) -> None:
    release = write_tiny_release(tmp_path / "one")
    repository.publish(release)
    repository.publish(release)
    assert repository.list_spaces() == ["tiny-1-0"]
    root = repository.root_text()
    for name in ("manifest.json", "model.onnx", "weights.safetensors", "golden.npz"):
        assert fetch(repository, tmp_path / "edge", root, f"tiny-1-0/{name}") == (release.folder / name).read_bytes()


def test_weights_to_train_from_and_alignment_stay_behind(repository: ReleaseRepository, tmp_path: Path) -> None:
    release = write_tiny_release(tmp_path / "one")
    for name in (TRAINABLE_FILE, ALIGNMENT_FILE):
        (release.folder / name).write_bytes(b"not for edges")
    repository.publish(release)
    files = [path.name for path in (repository.folder / "targets").rglob("*") if path.is_file()]
    assert len(files) == 4
    assert not [name for name in files if name.endswith((TRAINABLE_FILE, ALIGNMENT_FILE))]


def test_withdrawn_release_is_gone(repository: ReleaseRepository, tmp_path: Path) -> None:
    repository.publish(write_tiny_release(tmp_path / "one"))
    repository.publish(write_tiny_release(tmp_path / "two", seed=1, version="2"))
    repository.withdraw("tiny-1-0")
    repository.withdraw("tiny-1-0")
    assert repository.list_spaces() == ["tiny-2-1"]
    assert fetch(repository, tmp_path / "edge", repository.root_text(), "tiny-1-0/model.onnx") is None


def test_release_sealed_again_takes_the_place_of_the_former(repository: ReleaseRepository, tmp_path: Path) -> None:
    repository.publish(write_tiny_release(tmp_path / "one"))
    again = write_tiny_release(tmp_path / "two", match=0.5)
    repository.publish(again)
    got = fetch(repository, tmp_path / "edge", repository.root_text(), "tiny-1-0/manifest.json")
    assert json.loads(got or b"")["thresholds"]["match"] == 0.5


def test_timestamp_is_renewed_before_it_ends_and_others_stay(repository: ReleaseRepository, clock: Clock) -> None:
    assert repository.renew() == []
    clock.now += timedelta(hours=5)
    assert repository.renew() == ["timestamp"]
    versions = {state.role: state.version for state in repository.states()}
    assert versions == {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 2}


def test_everything_is_renewed_for_ever(repository: ReleaseRepository, clock: Clock, tmp_path: Path) -> None:
    root = repository.root_text()
    for _ in range(450):
        clock.now += timedelta(hours=22)
        repository.renew()
    assert all(state.ends > clock.now for state in repository.states())
    assert len(list((repository.folder / "metadata").glob("*.snapshot.json"))) <= 4
    assert Metadata.from_bytes(root.encode()).signed.expires < clock.now


def test_without_renewal_an_edge_takes_nothing(tmp_path: Path) -> None:
    old = Clock()
    old.now -= timedelta(hours=25)
    repository = ReleaseRepository(tmp_path / "data", clock=old)
    repository.make()
    edge = updater(repository, tmp_path / "edge", repository.root_text())
    with pytest.raises(ExpiredMetadataError, match=r"timestamp\.json is expired"):
        edge.refresh()


def test_root_taken_away_is_missed_only_when_it_is_needed(repository: ReleaseRepository, clock: Clock) -> None:
    (key,) = repository.keys_folder.glob("root-*.key")
    shutil.move(key, key.parent.parent / key.name)
    clock.now += timedelta(days=4)
    assert "timestamp" in repository.renew()
    assert repository.warning() == ""
    with pytest.raises(SecurityError, match="put it back for this"):
        repository.rotate("timestamp")
    clock.now += timedelta(days=320)
    assert "root" not in repository.renew()
    assert "ends on" in repository.warning()
    shutil.move(key.parent.parent / key.name, key)
    assert "root" in repository.renew()
    assert repository.warning() == ""


@pytest.mark.parametrize("role", SIGNING_ROLES)
def test_edge_follows_a_rotated_key(repository: ReleaseRepository, tmp_path: Path, role: str) -> None:
    release = write_tiny_release(tmp_path / "one")
    repository.publish(release)
    root = repository.root_text()
    assert fetch(repository, tmp_path / "edge", root, "tiny-1-0/model.onnx")
    (old_key,) = repository.keys_folder.glob(f"{role}-*.key")
    repository.rotate(role)  # type: ignore[arg-type]
    assert not old_key.exists()
    assert fetch(repository, tmp_path / "edge", root, "tiny-1-0/model.onnx")
    assert repository.renew() == []


def test_stolen_targets_key_alone_forges_nothing(repository: ReleaseRepository, tmp_path: Path) -> None:
    repository.publish(write_tiny_release(tmp_path / "one"))
    path = repository.folder / "metadata" / "2.targets.json"
    forged: Metadata[Targets] = Metadata.from_bytes(path.read_bytes())
    file = forged.signed.targets["tiny-1-0/model.onnx"]
    file.hashes["sha256"] = file.hashes["sha256"][::-1]
    (key,) = repository.keys_folder.glob("targets-*.key")
    forged.sign(CryptoSigner(load_pem_private_key(key.read_bytes(), None)))  # type: ignore[arg-type]
    path.write_bytes(forged.to_bytes())
    edge = updater(repository, tmp_path / "edge", repository.root_text())
    with pytest.raises(RepositoryError, match="hash"):
        edge.refresh()


def test_interrupted_rotation_is_finished_by_the_next_renewal(
    repository: ReleaseRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("server.releases.metadata.SignedMetadata.sign", _killed)
        with pytest.raises(KeyboardInterrupt):
            repository.rotate("timestamp")
    assert repository.renew() == ["timestamp"]
    updater(repository, tmp_path / "edge", repository.root_text()).refresh()


def test_interrupted_publication_is_not_seen(
    repository: ReleaseRepository, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_tiny_release(tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr("server.releases.metadata.Timestamp", _killed)
        with pytest.raises(KeyboardInterrupt):
            repository.publish(one)
    clock.now += timedelta(hours=5)
    repository.renew()
    assert repository.list_spaces() == []
    repository.publish(one)
    assert fetch(repository, tmp_path / "edge", repository.root_text(), "tiny-1-0/model.onnx")


def test_making_again_changes_nothing(repository: ReleaseRepository) -> None:
    root = repository.root_text()
    repository.make()
    assert repository.root_text() == root


def test_making_is_finished_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = ReleaseRepository(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr("server.releases.metadata.Timestamp", _killed)
        with pytest.raises(KeyboardInterrupt):
            repository.make()
    repository.make()
    updater(repository, tmp_path / "edge", repository.root_text()).refresh()


def test_only_the_owner_of_the_records_writes(repository: ReleaseRepository, tmp_path: Path) -> None:
    other = ReleaseRepository(tmp_path / "data", check_owner=_lost)
    with pytest.raises(LeaseLostError, match="another server"):
        other.publish(write_tiny_release(tmp_path / "one"))
    assert repository.list_spaces() == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "metadata",
        "metadata/2.root.json",
        "metadata/../../signing/lock",
        "/etc/passwd",
        "signing/lock",
        "targets/../metadata/timestamp.json",
        "targets/tiny-1-0",
        "metadata/.hidden",
        "metadata//timestamp.json",
        "metadata/\0",
    ],
)
def test_nothing_else_can_be_read(repository: ReleaseRepository, path: str) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        list(repository.read(path, 0))


def test_reading_goes_on_from_an_offset(repository: ReleaseRepository) -> None:
    whole = b"".join(repository.read("metadata/timestamp.json", 0))
    assert b"".join(repository.read("metadata/timestamp.json", 100)) == whole[100:]
    assert list(repository.read("metadata/timestamp.json", (1 << 64) - 1)) == []


def test_keys_are_private_and_refused_when_they_are_not(repository: ReleaseRepository, tmp_path: Path) -> None:
    (key,) = repository.keys_folder.glob("timestamp-*.key")
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(SecurityError, match="others can use it"):
        repository.publish(write_tiny_release(tmp_path / "one"))


def test_damaged_metadata_is_named(repository: ReleaseRepository) -> None:
    (repository.folder / "metadata" / "timestamp.json").write_bytes(b"{")
    with pytest.raises(SecurityError, match=r"timestamp\.json cannot be read"):
        repository.renew()


@pytest.mark.parametrize("space", ["", "..", "a/b", ".hidden", "x" * 101, "a b"])
def test_space_that_is_no_name_for_a_folder_is_refused(space: str) -> None:
    with pytest.raises(ConflictError, match="cannot name a folder"):
        check_space(space)


def test_published_copy_is_what_was_sealed(repository: ReleaseRepository, tmp_path: Path) -> None:
    repository.publish(write_tiny_release(tmp_path / "one"))
    got = tmp_path / "got"
    got.mkdir()
    for path in (repository.folder / "targets" / "tiny-1-0").iterdir():
        shutil.copyfile(path, got / path.name.partition(".")[2])
    assert load_release(got).manifest.space == "tiny-1-0"


def test_renewal_times_follow_the_settings() -> None:
    settings = SigningSettings(timestamp_hours=2, timestamp_renewal_hours=4)
    assert settings.renewal_s("timestamp") == 3600
    assert SigningSettings().renewal_s("timestamp") == 20 * 3600


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _lost() -> None:
    raise LeaseLostError("another server took over")
