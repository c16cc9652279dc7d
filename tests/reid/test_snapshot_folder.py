from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reid.errors import SnapshotError
from reid.snapshot import CROPS_FILE, SNAPSHOT_FILE, Snapshot, SnapshotCrop, read_snapshot, remove_crops, write_snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Tracklet 0 has two crops to train on, 1 is apart from it and held out, 2 is the same person as 1."""
    (tmp_path / "crops").mkdir()
    crops = [
        SnapshotCrop("crops/a.jpg", 1, 0, 10, 0.5, "train"),
        SnapshotCrop("crops/b.jpg", 1, 0, 20, 0.5, "train"),
        SnapshotCrop("crops/c.jpg", 1, 1, 30, 0.5, "held_out"),
        SnapshotCrop("crops/d.jpg", 2, 2, 15, 0.5, "train"),
    ]
    for crop in crops:
        (tmp_path / crop.path).write_bytes(b"jpeg")
    return Snapshot(
        folder=tmp_path,
        parent="tiny-1-0",
        made_us=99,
        cameras=(("edge1", "door"), ("edge2", "hall")),
        crops=tuple(crops),
        apart=np.array([[0, 1]]),
        together=np.array([[1, 2]]),
        provenance={"strategy": "diverse"},
    )


def assert_same(one: Snapshot, other: Snapshot) -> None:
    assert replace(one, apart=0, together=0) == replace(other, apart=0, together=0)  # type: ignore[arg-type]
    assert one.apart.tolist() == other.apart.tolist()
    assert one.together.tolist() == other.together.tolist()


def test_what_was_written_is_read(snapshot: Snapshot) -> None:
    write_snapshot(snapshot)
    assert_same(read_snapshot(snapshot.folder), snapshot)
    assert [crop.tracklet for crop in snapshot.of_part("held_out")] == [1]


def test_a_snapshot_without_pairs_is_read(snapshot: Snapshot) -> None:
    none = np.empty((0, 2), dtype=np.int64)
    write_snapshot(replace(snapshot, apart=none, together=none))
    assert read_snapshot(snapshot.folder).apart.shape == (0, 2)


def test_removed_crops_leave_lists_pairs_and_disk(snapshot: Snapshot) -> None:
    write_snapshot(snapshot)
    assert remove_crops(snapshot.folder, lambda crop: crop.tracklet == 1) == 1
    left = read_snapshot(snapshot.folder)
    assert [crop.tracklet for crop in left.crops] == [0, 0, 2]
    assert (left.apart.tolist(), left.together.tolist()) == ([], [])
    assert not (snapshot.folder / "crops/c.jpg").exists()
    assert remove_crops(snapshot.folder, lambda crop: crop.tracklet == 1) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camid": 3}, "camera 3, wanted 1 to 2"),
        ({"path": "crops/../../secret"}, "leads out"),
        ({"path": "/etc/passwd"}, "leads out"),
        ({"path": "crops/none.jpg"}, "none.jpg is missing"),
        ({"quality": 2.0}, "quality 2.0"),
        ({"tracklet": 9}, "a pair names tracklet 0"),
    ],
    ids=["camera", "parent-folder", "absolute", "missing", "quality", "pair"],
)
def test_what_makes_no_sense_is_not_written(snapshot: Snapshot, change: dict[str, object], message: str) -> None:
    crops = tuple(replace(crop, **change) for crop in snapshot.crops)  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match=message):
        write_snapshot(replace(snapshot, crops=crops))
    assert not (snapshot.folder / SNAPSHOT_FILE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2, this version reads 1"),
        ({"sha256": "0"}, "is not what snapshot.json says"),
        ({"apart": [[1, 2, 3], [4]]}, "is damaged"),
        ({"apart": [[7, 8]]}, "a pair names tracklet 7"),
        ({"cameras": [["edge1"]]}, "is damaged"),
        ({"provenance": []}, "is damaged"),
    ],
    ids=["format", "hash", "pairs", "unknown-pair", "cameras", "provenance"],
)
def test_a_damaged_snapshot_says_what_is_wrong(snapshot: Snapshot, change: dict[str, object], message: str) -> None:
    write_snapshot(snapshot)
    path = snapshot.folder / SNAPSHOT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SnapshotError, match=message):
        read_snapshot(snapshot.folder)


@pytest.mark.parametrize("name", [SNAPSHOT_FILE, CROPS_FILE, "crops/a.jpg"])
def test_a_missing_file_is_named(snapshot: Snapshot, name: str) -> None:
    write_snapshot(snapshot)
    (snapshot.folder / name).unlink()
    with pytest.raises(SnapshotError, match=Path(name).name):
        read_snapshot(snapshot.folder)


@pytest.mark.parametrize("content", ["[]", "{", "{}"])
def test_no_snapshot_is_no_snapshot(snapshot: Snapshot, content: str) -> None:
    write_snapshot(snapshot)
    (snapshot.folder / SNAPSHOT_FILE).write_text(content)
    with pytest.raises(SnapshotError):
        read_snapshot(snapshot.folder)
