from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
from fakes_fleet_service import FakeFleet
from releases import write_tiny_release
from signed_site import SignedSite

from edge.errors import UpdateDelayedError, UpdateError
from edge.releases.updates import Updates
from reid.release import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, WEIGHTS_FILE, load_release
from reid.types import ReleaseRef


@pytest.fixture
def release(tmp_path):
    return write_tiny_release(tmp_path / "release")


@pytest.fixture
def site(release):
    site = SignedSite()
    site.publish(release)
    return site


@pytest.fixture
def server(site):
    server = FakeFleet(site.files)
    yield server
    server.stop()


@pytest.fixture
def updates(tmp_path, site, server):
    return Updates(tmp_path / "updates", lambda: site.first_root, server.line)


def test_what_is_there_is_not_downloaded_again(updates, server, release):
    updates.fetch(release.ref)
    server.asked.clear()
    updates.fetch(release.ref)
    assert server.targets_asked == []


def test_a_download_that_broke_goes_on_with_what_is_missing(updates, server, release):
    server.chunk_bytes, server.break_after = 1000, 1000
    with pytest.raises(UpdateDelayedError, match="line broke"):
        updates.fetch(release.ref)
    server.asked.clear()
    assert load_release(updates.fetch(release.ref)).ref == release.ref
    first = server.targets_asked[0]
    assert first[1] == 1000
    names = [path.rpartition("/")[2] for path, _ in server.targets_asked]
    assert set(names) <= {MANIFEST_FILE, MODEL_FILE, WEIGHTS_FILE, GOLDEN_FILE}


def test_a_part_that_a_power_loss_damaged_is_downloaded_anew(updates, server, release, tmp_path):
    server.chunk_bytes, server.break_after = 1000, 1000
    with pytest.raises(UpdateDelayedError):
        updates.fetch(release.ref)
    (part,) = (path for path in (tmp_path / "updates" / "partial").rglob("*") if path.is_file())
    part.write_bytes(bytes(part.stat().st_size))
    assert load_release(updates.fetch(release.ref)).ref == release.ref


def test_a_server_that_is_away_is_asked_again_later(updates, server, release):
    server.is_away = True
    with pytest.raises(UpdateDelayedError, match="UNAVAILABLE"):
        updates.fetch(release.ref)


def test_without_a_root_nothing_is_downloaded(tmp_path, server, release):
    updates = Updates(tmp_path / "updates", lambda: "", server.line)
    with pytest.raises(UpdateError, match="takes no updates by the server: it has no root"):
        updates.fetch(release.ref)
    assert server.asked == []


def test_a_root_that_is_none_is_refused(tmp_path, server, release):
    updates = Updates(tmp_path / "updates", lambda: "nonsense", server.line)
    with pytest.raises(UpdateError, match="do not belong together"):
        updates.fetch(release.ref)


def test_a_release_that_does_not_fit_on_the_disk_is_not_begun(updates, server, release, monkeypatch):
    usage = namedtuple("usage", "total used free")(1, 1, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UpdateError, match="has room for 0: make room"):
        updates.fetch(release.ref)
    assert server.targets_asked == []


def test_clear_forgets_files_and_not_what_was_verified(updates, tmp_path, release):
    updates.fetch(release.ref)
    updates.clear()
    left = {path.relative_to(tmp_path / "updates").parts[0] for path in (tmp_path / "updates").rglob("*")}
    assert left == {"metadata"}


@pytest.mark.parametrize("space", ["../../etc", "..", "a/b", ""], ids=repr)
def test_no_space_leads_out_of_the_folder(updates, tmp_path, space):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UpdateError, match="is not among what this site has signed"):
        updates.fetch(ReleaseRef("tiny", "1", space))
    assert sorted({*before, tmp_path / "updates"}) == sorted(tmp_path.iterdir())


def test_leftovers_of_another_release_go(updates, site, server, release, tmp_path):
    other = write_tiny_release(tmp_path / "other", seed=2, version="2")
    site.publish(other)
    first = updates.fetch(release.ref)
    updates.fetch(other.ref)
    assert not first.exists()
