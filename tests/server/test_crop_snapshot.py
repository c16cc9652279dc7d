from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes_crop_edges import exchange_of, files_under, observe, put, run, store_of
from fakes_stream import ServerParts
from hypothesis import given
from hypothesis import strategies as st

import server.crops.snapshot as snapshot_module
from reid.errors import SnapshotError
from reid.snapshot import SNAPSHOT_FILE, Snapshot, read_snapshot
from server.crops.candidates import read_candidates
from server.crops.selection import WantedCrop
from server.crops.settings import CropSettings
from server.crops.snapshot import CropRow, compose, make_snapshot, split_parts
from server.crops.source import SiteCrops
from server.crops.store import CropStore
from server.storage.records import Link
from server.types import Actor, CropName

ANN = Actor("ann", "operator")
SECOND_US = 1_000_000


@pytest.fixture
def site(parts: ServerParts) -> ServerParts:
    """Five people one after the other in two cameras, three observations each."""
    observe(parts, [range(3 * number + 1, 3 * number + 4) for number in range(5)], camids=("cam1", "cam2"))
    return parts


@pytest.fixture
def store(site: ServerParts) -> CropStore:
    store = store_of(site)
    for number in range(5):
        put(store, number + 1, *range(3 * number + 1, 3 * number + 4))
    return store


@pytest.fixture
def crops(site: ServerParts, store: CropStore) -> SiteCrops:
    """What a run uses; snapshots lie in `runs`."""
    found = SiteCrops(
        site.engine,
        store,
        exchange_of(site, store=store),
        CropSettings(held_out_share=0.3),
        spaces=lambda: site.ingest.spaces,
        read_links=site.records.read_links,
        snapshots=lambda: [site.data / "runs" / "1"],
        clock_us=site.clock,
    )
    site.records.on_deleted = found.forget
    return found


def everything() -> list[WantedCrop]:
    return [WantedCrop((seq - 1) // 3 + 1, 1, seq, seq * SECOND_US) for seq in range(1, 16)]


def make(crops: SiteCrops, site: ServerParts, wanted: Sequence[WantedCrop] | None = None) -> Snapshot:
    folder = site.data / "runs" / "1"
    crops.snapshot(wanted or everything(), folder, parent="tiny-1-0", provenance={"run": "1"})
    return read_snapshot(folder)


def row(tracklet: int, seq: int, time_us: int, *, camid: str = "cam1", span: tuple[int, int] | None = None) -> CropRow:
    start_us, end_us = span or (time_us, time_us)
    return CropRow(CropName(1, seq), tracklet, ("edge1", camid), time_us, 0.5, start_us, end_us)


def composed(rows: Sequence[CropRow], links: Sequence[Link] = (), *, share: float = 0.01) -> Snapshot:
    return compose(rows, Path(), parent="p", links=links, held_out_share=share, made_us=0, provenance={})


def test_a_snapshot_has_all_that_training_needs(crops: SiteCrops, site: ServerParts) -> None:
    found = make(crops, site)
    assert found.cameras == (("edge1", "cam1"), ("edge1", "cam2"))
    assert [(crop.tracklet, crop.camid) for crop in found.crops][::3] == [(0, 2), (1, 1), (2, 2), (3, 1), (4, 2)]
    assert {crop.tracklet for crop in found.of_part("held_out")} == {3, 4}
    assert (found.parent, dict(found.provenance)) == ("tiny-1-0", {"strategy": "diverse", "run": "1"})
    assert files_under(found.folder / "crops") == sorted(Path(crop.path).name for crop in found.crops)


def test_crops_that_never_came_are_left_out(crops: SiteCrops, site: ServerParts, store: CropStore) -> None:
    store.path_of(CropName(1, 2)).unlink()
    found = make(crops, site, [*everything(), WantedCrop(1, 1, 99, 0)])
    assert len(found.crops) == 14


def test_no_crops_are_no_snapshot(crops: SiteCrops, site: ServerParts) -> None:
    with pytest.raises(SnapshotError, match="0 crops are here"):
        make(crops, site, [WantedCrop(1, 1, 99, 0)])
    assert list((site.data / "runs").iterdir()) == []


def test_a_full_disk_leaves_nothing_half_made(
    crops: SiteCrops, site: ServerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(SnapshotError, match="No space left"):
        make(crops, site)
    assert list((site.data / "runs").iterdir()) == []


def test_crops_are_copied_where_they_cannot_be_linked(
    crops: SiteCrops, site: ServerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert len(make(crops, site).crops) == 15


def test_a_snapshot_made_again_takes_the_place_of_the_old(crops: SiteCrops, site: ServerParts) -> None:
    make(crops, site)
    assert len(make(crops, site, everything()[:6]).crops) == 6
    assert len(files_under(site.data / "runs" / "1" / "crops")) == 6


def test_an_erased_person_leaves_store_and_snapshots(crops: SiteCrops, site: ServerParts) -> None:
    make(crops, site)
    person = site.person_of(2, camid="cam1")
    site.records.erase_person(person, ANN, 5, spaces=site.ingest.spaces)
    left = read_snapshot(site.data / "runs" / "1")
    assert {crop.tracklet for crop in left.crops} == {0, 2, 3, 4}
    assert not [name for name in files_under(site.data) if name in ("4.jpg", "2-1-4.jpg")]
    assert len(make(crops, site).crops) == 12


def test_whoever_was_erased_while_it_was_made_is_not_in_it(
    crops: SiteCrops, site: ServerParts, store: CropStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshot_module._link_files

    def erasing(*args: object) -> list[CropRow]:
        linked = real(*args)  # type: ignore[arg-type]
        site.records.erase_person(site.person_of(1, camid="cam2"), ANN, 5, spaces=site.ingest.spaces)
        return linked

    monkeypatch.setattr(snapshot_module, "_link_files", erasing)
    assert len(make(crops, site).crops) == 12
    assert "1-1-1.jpg" not in files_under(site.data)


def test_what_was_erased_before_a_crash_goes_at_the_next_start(crops: SiteCrops, site: ServerParts) -> None:
    make(crops, site)
    site.records.on_deleted = lambda _: None  # the crash
    site.records.erase_person(site.person_of(1, camid="cam2"), ANN, 5, spaces=site.ingest.spaces)
    crops.restore()
    assert len(read_snapshot(site.data / "runs" / "1").crops) == 12
    assert not [name for name in files_under(site.data) if name in ("1.jpg", "1-1-1.jpg")]


def test_half_a_snapshot_goes_at_the_next_start(crops: SiteCrops, site: ServerParts) -> None:
    half = site.data / "runs" / ".1.x7"
    half.mkdir(parents=True)
    (half / "1-1-1.jpg").write_bytes(b"crop")
    crops.restore()
    assert not half.exists()


def test_a_damaged_snapshot_loses_the_files_all_the_same(crops: SiteCrops, site: ServerParts) -> None:
    folder = make(crops, site).folder
    (folder / SNAPSHOT_FILE).write_text("{")
    site.records.erase_person(site.person_of(1, camid="cam2"), ANN, 5, spaces=site.ingest.spaces)
    assert not [name for name in files_under(folder) if name.startswith("1-")]


def test_operators_words_are_in_it(crops: SiteCrops, site: ServerParts) -> None:
    make(crops, site)
    found = composed(
        [row(key, key, key * 10) for key in (5, 6, 7, 8)],
        [Link(5, 6, "must"), Link(6, 7, "cannot"), Link(9, 8, "must")],
    )
    assert found.together.tolist() == [[0, 1]]
    assert found.apart.tolist() == [[1, 2]]


def test_a_merge_over_an_absent_tracklet_still_joins() -> None:
    found = composed([row(2, 2, 20), row(3, 3, 30)], [Link(1, 2, "must"), Link(1, 3, "must")])
    assert found.together.tolist() == [[0, 1]]


def test_a_later_word_counts_more() -> None:
    rows = [row(2, 2, 20), row(3, 3, 30)]
    split_later = composed(rows, [Link(2, 3, "must"), Link(2, 3, "cannot")])
    assert (split_later.together.tolist(), split_later.apart.tolist()) == ([], [[0, 1]])
    merged_later = composed(rows, [Link(2, 3, "cannot"), Link(2, 3, "must")])
    assert (merged_later.together.tolist(), merged_later.apart.tolist()) == ([[0, 1]], [])


def test_two_in_one_camera_at_one_moment_are_apart() -> None:
    rows = [row(1, 1, 5, span=(0, 10)), row(2, 2, 12, span=(10, 20)), row(3, 3, 5, span=(0, 10), camid="cam2")]
    assert composed(rows).apart.tolist() == [[0, 1]]


Tracklets = st.lists(
    st.tuples(st.sampled_from(["cam1", "cam2"]), st.lists(st.integers(0, 50), min_size=1, max_size=4)), max_size=12
)


@given(Tracklets, st.floats(0.05, 0.9))
def test_no_tracklet_and_no_moment_is_in_both_parts(tracklets: list[tuple[str, list[int]]], share: float) -> None:
    rows = [
        row(key, 100 * key + index, time_us, camid=camid)
        for key, (camid, times) in enumerate(tracklets, start=1)
        for index, time_us in enumerate(times)
    ]
    parts = split_parts(rows, share)
    by_part: defaultdict[str, list[CropRow]] = defaultdict(list)
    for item in rows:
        by_part[parts.get(item.name, "")].append(item)
    train, held_out = by_part["train"], by_part["held_out"]
    assert {item.tracklet for item in train}.isdisjoint(item.tracklet for item in held_out)
    for camid in ("cam1", "cam2"):
        trained = [item.time_us for item in train if item.camera[1] == camid]
        judged = [item.time_us for item in held_out if item.camera[1] == camid]
        assert not trained or not judged or max(trained) < min(judged)
    assert all(sum(other.tracklet == item.tracklet for other in held_out) >= 2 for item in held_out)


def test_candidates_are_the_latest_tracklets_with_their_views(site: ServerParts) -> None:
    found = read_candidates(site.engine, site.ingest.spaces, since_us=0, most=10)
    assert sorted(candidate.tracklet for candidate in found) == [1, 2, 3, 4, 5]
    first = next(candidate for candidate in found if candidate.tracklet == 1)
    assert [(view.spool_key, view.seq, view.time_us) for view in first.observations] == [
        (1, seq, seq * SECOND_US) for seq in (1, 2, 3)
    ]
    assert np.linalg.norm(first.embedding) == pytest.approx(1.0, abs=1e-6)


def test_old_tracklets_are_no_candidates(site: ServerParts) -> None:
    assert read_candidates(site.engine, site.ingest.spaces, since_us=site.clock.now_us + 1, most=10) == []
    assert len(read_candidates(site.engine, site.ingest.spaces, since_us=0, most=2)) == 2


def test_a_run_chooses_gathers_and_makes_its_data_set(crops: SiteCrops, site: ServerParts) -> None:
    wanted = crops.select(since_us=0)
    report = run(crops.collect(wanted, deadline_s=0.1, on_answer=lambda _: None))
    assert report.num_received == len(wanted) == 15
    assert len(make(crops, site, wanted).crops) == 15


def test_make_snapshot_names_the_folder_that_cannot_be_made(site: ServerParts, store: CropStore) -> None:
    (site.data / "runs").write_text("a file")
    with pytest.raises(SnapshotError, match=r"runs/1 cannot be made"):
        make_snapshot(
            site.engine,
            store,
            {1: [CropName(1, 1)]},
            site.data / "runs" / "1",
            parent="p",
            links=(),
            held_out_share=0.2,
            made_us=0,
            provenance={},
        )
