"""One's own pictures: a folder without labels, a CSV file, and the names under which data sets are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.crop_cache import CachedCrops
from train.datasets.csv_file import read_csv_file
from train.datasets.registry import chosen_split, read_split, splits_help
from train.datasets.samples import UNLABELLED_PID, ReidSample, tracklets_of
from train.errors import DatasetError
from train.site import site_of


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_csv(folder: Path, text: str) -> Path:
    touch(folder, "a.jpg", "b.jpg", "c.jpg")
    (folder / "samples.csv").write_text(text)
    return folder / "samples.csv"


def test_folder_takes_cameras_from_its_sub_folders(tmp_path: Path) -> None:
    touch(tmp_path, "yard/2026/b.PNG", "hall/a.jpg", "loose.webp", "hall/notes.txt", ".cache/x.jpg")
    train = read_split("folder", tmp_path).train
    assert [(s.path.name, s.camid) for s in train] == [("a.jpg", 2), ("loose.webp", 1), ("b.PNG", 3)]
    assert {s.pid for s in train} == {UNLABELLED_PID}
    assert len(tracklets_of(train)) == 3  # nothing is known to be one person


def test_folder_reads_camera_track_and_frame_by_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "c2_t7_f10.jpg", "c2_t7_f9.jpg", "c1_t7_f1.jpg")
    pattern = r"(?P<camera>c\d)_t(?P<track>\d+)_f(?P<frame>\d+)"
    train = read_split("folder", tmp_path, name_pattern=pattern).train
    assert [(s.camid, s.frame) for s in train] == [(1, 1), (2, 10), (2, 9)]
    assert tracklets_of(train) == ((0,), (2, 1))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("(?P<person>.)", "wanted named groups out of camera, track, frame"),
        (r"(?P<camera>\d)", r"a\.jpg: does not fit the pattern"),
        ("(?P<frame>a)", "frame 'a' is not a number"),
    ],
    ids=["syntax", "groups", "fit", "frame"],
)
def test_folder_explains_a_wrong_pattern(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_split("folder", touch(tmp_path, "a.jpg"), name_pattern=pattern)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no picture"):
        read_split("folder", tmp_path)


def test_a_site_knows_identities_only_if_every_crop_has_one() -> None:
    crops = np.zeros((2, 256, 128, 3), dtype=np.uint8)
    for pids, known in (((1, 2), True), ((1, UNLABELLED_PID), False)):
        samples = tuple(ReidSample(Path(str(pid)), pid, 1, 0, 0) for pid in pids)
        assert (site_of(CachedCrops(samples, crops, ())).pids is not None) is known


def test_csv_reads_columns_in_any_order_relative_to_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "camid,path,pid,frame\n2,a.jpg,7,31\n1,b.jpg,,\n1,c.jpg,,\n")
    samples = read_csv_file(path)
    assert samples[0] == ReidSample(tmp_path / "a.jpg", 7, 2, 0, 31)
    assert [s.pid for s in samples] == [7, UNLABELLED_PID, UNLABELLED_PID]
    assert len(tracklets_of(samples)) == 3
    assert read_csv_file(tmp_path) == samples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pid\n", r"line 1: wanted the header path,pid,camid\[,sequence,frame\], came 'path,pid'"),
        ("path,pid,camid,age\n", "line 1: wanted the header"),
        ("", "line 1: wanted the header"),
        ("path,pid,camid\n", "lists no sample"),
        ("path,pid,camid\na.jpg,1,1\nz.jpg,1,1\n", r"line 3: there is no picture .*z\.jpg"),
        ("path,pid,camid\na.jpg,x,1\n", "line 2: pid 'x' is not a whole number"),
        ("path,pid,camid\na.jpg,-3,1\n", "line 2: pid is -3, wanted at least -1"),
        ("path,pid,camid\na.jpg,1,\n", "line 2: camid '' is not a whole number"),
        ("path,pid,camid\na.jpg,1\n", "line 2: wanted as many fields as the header has"),
        ("path,pid,camid\na.jpg,1,1,9\n", "line 2: wanted as many fields"),
    ],
)
def test_csv_errors_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_csv_file(write_csv(tmp_path, text))


def test_csv_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is not a CSV file in UTF-8"):
        read_csv_file(tmp_path / "x.csv")


def test_csv_serves_training_and_test(tmp_path: Path) -> None:
    write_csv(tmp_path, "path,pid,camid\na.jpg,7,1\nb.jpg,7,2\nc.jpg,-1,1\n")
    assert [s.path.name for s in read_split("csv", tmp_path, "all").train] == ["a.jpg", "b.jpg"]
    test = read_split("csv", tmp_path, "test")
    assert ([s.pid for s in test.query], [s.pid for s in test.gallery]) == ([7, 7], [-1])


def test_the_first_split_is_the_one_meant_when_none_is_named() -> None:
    assert chosen_split("market1501", "") == "500-251"
    assert chosen_split("viper", "half-10") == "half-10"
    assert "viper: half-1 … half-10" in splits_help()


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unknown data set 'cifar'; known: market1501, msmt17"):
        read_split("cifar", tmp_path)
    with pytest.raises(DatasetError, match="unknown split 'half' of market1501; known: 500-251, all, official"):
        read_split("market1501", tmp_path, "half")
    with pytest.raises(DatasetError, match="a pattern for names is for the data set 'folder'"):
        read_split("market1501", tmp_path, name_pattern="(?P<camera>.)")
