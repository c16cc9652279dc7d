"""Readers of public data sets, on made-up copies of a few empty files: no reader opens a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from train.datasets import cuhk01, cuhk03, market1501, msmt17, viper
from train.datasets.counts import Counts, SplitCounts
from train.datasets.registry import read_split
from train.datasets.samples import ReidSample
from train.errors import DatasetError

MSMT_LISTS = {
    "list_train.txt": ["0000/0000_000_01_0303morning_0015_0.jpg 0"],
    "list_val.txt": ["0000/0000_001_02_0303noon_0016_1.jpg 0"],
    "list_query.txt": ["0000/0000_002_15_0113afternoon_0017_0.jpg 0"],
    "list_gallery.txt": ["0000/0000_003_01_0113afternoon_0018_0.jpg 0", "0001/0001_000_02_0303noon_0019_2.jpg 1"],
}
MSMT_COUNTS = SplitCounts(Counts(2, 1), Counts(1, 1), Counts(2, 2))


def touch(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_msmt17(root: Path, train: str = "train", test: str = "test") -> Path:
    for name, lines in MSMT_LISTS.items():
        folder = root / (train if name in ("list_train.txt", "list_val.txt") else test)
        touch(folder, [line.split()[0] for line in lines])
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_market_names_are_read() -> None:
    path = Path("0002_c1s3_000451_03.jpg")
    assert market1501.parse_market_name(path) == ReidSample(path, 2, 1, 3, 451)
    assert market1501.parse_market_name(Path("-1_c6s2_000001_00.jpg")).pid == -1


def test_the_first_misnamed_market_file_is_named(tmp_path: Path) -> None:
    touch(tmp_path, ["0002_c1s1_000451_03.jpg", "holiday.jpg", "zebra.jpg"])
    with pytest.raises(DatasetError, match=r"holiday\.jpg: name is not PPPP_cCsS_FFFFFF_BB\.jpg"):
        market1501.read_market_folder(tmp_path)


def test_other_files_beside_the_crops_are_left_alone(tmp_path: Path) -> None:
    assert len(market1501.read_market_folder(touch(tmp_path, ["0002_c1s1_000451_03.jpg", "Thumbs.db"]))) == 1


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        market1501.read_market_folder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"holds no \.jpg file"):
        market1501.read_market_folder(tmp_path)


def test_official_market_keeps_junk_and_distractors_in_the_gallery(tmp_path: Path) -> None:
    touch(tmp_path / "bounding_box_train", ["0002_c1s1_000451_03.jpg"])
    touch(tmp_path / "query", ["0001_c1s1_001051_00.jpg"])
    touch(tmp_path / "bounding_box_test", [f"{pid}_c2s1_000001_00.jpg" for pid in ("-1", "0000", "0001")])
    counts = SplitCounts(Counts(1, 1), Counts(1, 1), Counts(3, 1))
    split = market1501.read_official(tmp_path, wanted=counts)
    assert [s.pid for s in split.gallery] == [-1, 0, 1]
    with pytest.raises(DatasetError, match="train: 1 crops of 1 identities, wanted 12936 of 751"):
        market1501.read_official(tmp_path)


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")], ids=["V1", "V2"])
def test_msmt17_numbers_test_persons_after_those_of_training(tmp_path: Path, folders: tuple[str, str]) -> None:
    split = msmt17.read_msmt17(write_msmt17(tmp_path, *folders), wanted=MSMT_COUNTS)
    assert [(s.pid, s.camid, s.frame) for s in split.train] == [(1, 1, 15), (1, 2, 16)]
    assert [(s.pid, s.camid) for s in split.query + split.gallery] == [(1042, 15), (1042, 1), (1043, 2)]
    assert len({s.sequence for s in split.train}) == 2


def test_msmt17_counts_are_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="train: 2 crops of 1 identities, wanted 32621 of 1041"):
        msmt17.read_msmt17(write_msmt17(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0000_000_01.jpg", "line 2: wanted a picture and a number"),
        ("0000/gone.jpg 0", r"line 2: there is no picture .*gone\.jpg"),
        ("0000/odd.jpg 0", r"odd\.jpg: name is not PPPP_NNN_CC"),
    ],
    ids=["form", "missing", "name"],
)
def test_msmt17_names_the_first_offending_line_or_file(tmp_path: Path, line: str, message: str) -> None:
    touch(write_msmt17(tmp_path), ["train/0000/odd.jpg"])
    with (tmp_path / "list_train.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DatasetError, match=message):
        msmt17.read_msmt17(tmp_path, wanted=MSMT_COUNTS)


def test_msmt17_says_which_list_or_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no folder train or mask_train_v2"):
        msmt17.read_msmt17(tmp_path)
    (write_msmt17(tmp_path) / "list_val.txt").unlink()
    with pytest.raises(DatasetError, match=r"list_val\.txt is missing"):
        msmt17.read_msmt17(tmp_path, wanted=MSMT_COUNTS)


def write_cuhk03(root: Path, lists: object) -> Path:
    touch(root / "images_labeled", ["1_001_1_01.png", "2_001_1_01.png", "2_001_2_06.png"])
    (root / "splits_new_labeled.json").write_text(json.dumps(lists))
    return root


@pytest.mark.parametrize(
    "wrap",
    [lambda lists: lists, lambda lists: [{k: [[f"data\\x/{v[0]}", 5, 1]] for k, v in lists.items()}]],
    ids=["names", "entries"],
)
def test_cuhk03_follows_the_lists_of_the_new_protocol(tmp_path: Path, wrap: object) -> None:
    lists = {"train": ["1_001_1_01.png"], "query": ["2_001_1_01.png"], "gallery": ["2_001_2_06.png"]}
    assert callable(wrap)
    one = Counts(1, 1)
    split = cuhk03.read_new_protocol(
        write_cuhk03(tmp_path, wrap(lists)), boxes="labeled", wanted=SplitCounts(one, one, one)
    )
    assert [(s.pid, s.camid) for part in split for s in part] == [(10_001, 1), (20_001, 3), (20_001, 4)]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": []}, "wanted an object with the lists train, query and gallery"),
        ({"train": ["9_001_1_01.png"], "query": [], "gallery": []}, r"there is no picture .*9_001_1_01\.png"),
        ({"train": [3], "query": [], "gallery": []}, "wanted a file name, came 3"),
        (
            {"train": ["1_001_1_01.png"], "query": [], "gallery": []},
            "train: 1 crops of 1 identities, wanted 7368 of 767",
        ),
    ],
    ids=["lists", "missing", "type", "counts"],
)
def test_cuhk03_refuses_broken_split_files(tmp_path: Path, lists: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        cuhk03.read_labeled(write_cuhk03(tmp_path, lists))


def test_viper_trains_on_one_half_and_tests_on_the_other(tmp_path: Path) -> None:
    for folder, angle in (("cam_a", 0), ("cam_b", 90)):
        touch(tmp_path / folder, [f"{pid:03d}_{angle}.bmp" for pid in range(6)])
    split = viper.read_half(tmp_path, seed=1, wanted=Counts(6, 6))
    assert (len(split.train), len(split.query), len(split.gallery)) == (6, 3, 3)
    assert {s.path.parent.name for s in split.query} == {"cam_a"}
    with pytest.raises(DatasetError, match="wanted 632 of 632"):
        read_split("viper", tmp_path, "half-10")


def test_cuhk01_has_two_crops_in_each_of_two_cameras(tmp_path: Path) -> None:
    touch(tmp_path / "campus", [f"{pid:04d}00{number}.png" for pid in range(1, 6) for number in range(1, 5)])
    split = cuhk01.read_485_486(tmp_path, seed=3, num_train_pids=2, wanted=Counts(20, 5))
    assert (len(split.train), len(split.query), len(split.gallery)) == (8, 6, 6)
    assert {s.path.stem[-1] for s in split.query} == {"1", "2"}
    with pytest.raises(DatasetError, match="20 crops of 5 identities, wanted 3884 of 971"):
        read_split("cuhk01", tmp_path)


@pytest.mark.parametrize(("split", "num_query", "num_gallery"), [("tracklets", 3, 5), ("single", 2, 4)])
def test_mars_asks_with_the_first_tracklet_of_each_view(
    tmp_path: Path, split: str, num_query: int, num_gallery: int
) -> None:
    touch(tmp_path / "bbox_train" / "0001", ["0001C1T0001F001.jpg"])
    names = ["0002C1T0001F001", "0002C1T0001F002", "0002C1T0002F001", "0002C1T0002F002", "0002C2T0001F001"]
    names += ["0002C2T0002F001", "0000C1T0001F001", "00-1C1T0001F001"]
    touch(tmp_path / "bbox_test" / "any", [f"{name}.jpg" for name in names])
    read = read_split("mars", tmp_path, split)
    assert (len(read.train), len(read.query), len(read.gallery)) == (1, num_query, num_gallery)
    assert {s.sequence for s in read.query} == {1}
    assert {s.pid for s in read.gallery} == {-1, 0, 2}


@pytest.mark.data
def test_market_500_251_has_its_published_sizes(data_root: Path) -> None:
    split = read_split("market1501", data_root / "market1501_train", "500-251")
    assert len(split.train) == 9173
    assert len(split.query) + len(split.gallery) == 3763
    assert len(split.gallery) == 2641
    views = {(s.pid, s.camid) for s in split.gallery}
    assert sum(any(p == q.pid and c != q.camid for p, c in views) for q in split.query) == 1115
