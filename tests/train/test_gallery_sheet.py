from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.metrics import Labels, cosine_blocks, score_blocks
from train.crop_cache import CachedCrops
from train.datasets.samples import ReidSample
from train.errors import DatasetError
from train.evaluate import Evaluation, SearchSide
from train.gallery_sheet import draw_gallery_sheet, found_rows, queries_with_match

VIEWS = {"query": [(1, 1), (2, 1), (3, 1)], "gallery": [(1, 1), (1, 2), (3, 2), (9, 2)]}
FEATS = {"query": [[1, 0], [0, 1], [0.6, 0.8]], "gallery": [[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]]}


def labels(*views: tuple[int, int]) -> Labels:
    return Labels(np.array([pid for pid, _ in views]), np.array([camid for _, camid in views]))


def side(name: str) -> SearchSide:
    samples = tuple(ReidSample(Path(name), pid, camid, 0, 0) for pid, camid in VIEWS[name])
    crops = np.full((len(samples), 256, 128, 3), 100, dtype=np.uint8)
    return SearchSide(CachedCrops(samples, crops, ()), np.arange(len(samples)), np.array(FEATS[name], np.float32))


def search() -> Evaluation:
    query, gallery = side("query"), side("gallery")
    similarities_of = cosine_blocks(query.embeddings_MD, gallery.embeddings_MD)
    scores = score_blocks(similarities_of, query.labels, gallery.labels)
    return Evaluation(scores, query, gallery, similarities_of, num_gallery=4, num_skipped=0)


def test_only_queries_with_a_match_under_another_camera_are_shown() -> None:
    assert queries_with_match(labels((1, 1), (2, 1), (3, 2), (1, 2)), labels((1, 1), (3, 2), (1, 2))).tolist() == [0, 3]


def test_found_rows_leave_out_the_querys_own_view_and_keep_ties_in_order() -> None:
    near = np.array([0.9, 0.5, 0.7, 0.5], dtype=np.float32)
    assert found_rows(near, labels((1, 1)), 0, labels((1, 1), (1, 2), (3, 1), (9, 2)), count=3).tolist() == [2, 1, 3]


def test_sheet_frames_the_right_in_green_and_the_wrong_in_red(tmp_path: Path) -> None:
    draw_gallery_sheet(tmp_path / "sheet.png", search(), num_found=3)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 4  # queries 1 and 3, three results each
    borders = [[sheet[line * height + 128, column * width + 3].tolist() for column in range(4)] for line in range(2)]
    white, green, red = [255, 255, 255], [60, 180, 60], [50, 50, 220]
    assert borders == [[white, green, red, red], [white, green, red, red]]


def test_sheet_wants_the_name_of_a_png(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"name it .*sheet\.png"):
        draw_gallery_sheet(tmp_path / "sheet.jpg", search())
    assert list(tmp_path.iterdir()) == []
