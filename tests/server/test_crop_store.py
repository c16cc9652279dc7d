from __future__ import annotations

from pathlib import Path

import pytest
from fakes_crop_edges import files_under, jpeg, observe, put, store_of
from fakes_records import SPACES, fill
from fakes_stream import ServerParts
from sqlalchemy import Engine

from server.crops.store import ArrivedCrop, CropStore
from server.errors import LeaseLostError, StorageError
from server.retention import Retention, RetentionSettings
from server.storage.lease import Lease
from server.storage.sql import SqlRecords
from server.types import Actor, CropName

ANN = Actor("ann", "operator")
DAY_US = 86_400 * 1_000_000


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    """Tracklet 1 has observations 1 to 3, tracklet 2 has 4 to 6."""
    observe(parts, [[1, 2, 3], [4, 5, 6]])
    return parts


@pytest.fixture
def store(site: ServerParts) -> CropStore:
    return store_of(site)


def known(store: CropStore) -> list[int]:
    return sorted(name.seq for name in store.known([CropName(1, seq) for seq in range(10)]))


def test_what_was_kept_is_there_after_a_restart(site: ServerParts, store: CropStore) -> None:
    put(store, 1, 1, 2)
    again = store_of(site.reopen())
    again.sweep()
    assert known(again) == [1, 2]
    assert again.path_of(CropName(1, 2)).read_bytes() == jpeg(2)


def test_nobody_else_can_read_a_crop(store: CropStore) -> None:
    put(store, 1, 1)
    path = store.path_of(CropName(1, 1))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_crop_that_comes_twice_is_kept_once(store: CropStore) -> None:
    put(store, 1, 1)
    put(store, 1, 1, 2)
    assert known(store) == [1, 2]


def test_beyond_the_quota_the_oldest_make_room(site: ServerParts) -> None:
    store = store_of(site, quota_bytes=int(2.5 * len(jpeg(1))))
    for seq in (1, 2, 3):
        site.clock.now_us += 1
        put(store, 1, seq)
    assert known(store) == [2, 3]
    assert files_under(site.data / "crops") == ["2.jpg", "3.jpg"]


def test_a_crop_of_a_deleted_tracklet_is_not_kept(site: ServerParts, store: CropStore) -> None:
    site.records.erase_person(1, ANN, 5, spaces=site.ingest.spaces)
    put(store, 1, 1)
    assert known(store) == []
    assert files_under(site.data / "crops") == []


def test_an_erased_persons_crops_leave_rows_and_disk(site: ServerParts, store: CropStore) -> None:
    site.records.on_deleted = lambda deletion: store.forget(deletion.crops)
    put(store, 1, 1, 2)
    put(store, 2, 4)
    deletion = site.records.erase_person(1, ANN, 5, spaces=site.ingest.spaces)
    assert sorted(deletion.crops) == [CropName(1, 1), CropName(1, 2)]
    assert (known(store), files_under(site.data / "crops")) == ([4], ["4.jpg"])


def test_old_crops_age_out_without_their_tracklets(site: ServerParts, store: CropStore) -> None:
    site.records.on_deleted = lambda deletion: store.forget(deletion.crops)
    put(store, 1, 1, 2)
    site.clock.now_us += 2 * DAY_US
    put(store, 2, 4)
    settings = RetentionSettings(crops_days=1, step_tracklets=1)
    retention = Retention(
        site.records, settings, spaces=lambda: site.ingest.spaces, let_go=site.ingest.let_go, clock_us=site.clock
    )
    assert [retention.step() for _ in range(3)] == [True, True, False]
    assert (known(store), files_under(site.data / "crops")) == ([4], ["4.jpg"])
    assert site.summaries.totals().num_tracklets == 2


def test_a_sweep_clears_what_a_crash_left(site: ServerParts, store: CropStore) -> None:
    put(store, 1, 1, 2, 3)
    store.path_of(CropName(1, 2)).unlink()
    orphan = store.path_of(CropName(1, 9))
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"no row")
    orphan.with_name(".9.jpg.x1").write_bytes(b"half")
    store.sweep()
    assert (known(store), files_under(site.data / "crops")) == ([1, 3], ["1.jpg", "3.jpg"])


def test_a_full_disk_is_an_error_that_names_the_file(site: ServerParts) -> None:
    (site.data / "crops").write_text("a file where a folder is wanted")
    with pytest.raises(StorageError, match=r"1\.jpg cannot be written"):
        store_of(site).write_files([ArrivedCrop(CropName(1, 1), 1, 0, jpeg())])


def test_a_server_that_lost_the_records_keeps_nothing(site: ServerParts) -> None:
    leases = [Lease(site.engine, holder=name, duration_s=1, clock_us=site.clock) for name in ("one", "other")]
    leases[0].take()
    site.clock.now_us += 10_000_000
    leases[1].take()
    store = CropStore(site.engine, site.data / "crops", quota_bytes=1 << 20, clock_us=site.clock, lease=leases[0])
    with pytest.raises(LeaseLostError):
        put(store, 1, 1)
    assert known(store) == []


def test_crops_of_other_spaces_are_those_to_embed_again(store: CropStore) -> None:
    put(store, 2, 5, 4)
    found = store.in_space_of_others("tiny-2-0")
    assert [(crop.tracklet, crop.path.name, crop.quality) for crop in found] == [(2, "4.jpg", 1.0), (2, "5.jpg", 1.0)]
    assert store.in_space_of_others("tiny-1-0") == []


def test_every_database_keeps_crops(engine: Engine, tmp_path: Path) -> None:
    fill(SqlRecords(engine), {1: 1, 2: 1, 3: 2})
    store = CropStore(engine, tmp_path / "crops", quota_bytes=len(jpeg(2)) + len(jpeg(3)), clock_us=lambda: 5)
    for key in (1, 2, 3):
        put(store, key, key)
    assert known(store) == [2, 3]
    assert [crop.tracklet for crop in store.in_space_of_others("other")] == [2, 3]
    assert SqlRecords(engine).delete_crops(before_us=6, limit=1) == 1
    store.sweep()
    assert (known(store), files_under(tmp_path / "crops")) == ([3], ["3.jpg"])
    SqlRecords(engine).erase_person(1, ANN, 6, spaces=SPACES)
    assert (store.to_forget(1, 1), store.to_forget(1, 9), store.to_forget(2, 9)) == ([1], [1, 2], [])
    assert store.note_forgotten([CropName(1, 1)]) == [CropName(1, 1)]
    assert store.to_forget(1, 9) == [2]


def test_crops_lie_in_few_folders(store: CropStore, site: ServerParts) -> None:
    assert store.path_of(CropName(3, 258)) == Path(site.data / "crops" / "3" / "02" / "258.jpg")
