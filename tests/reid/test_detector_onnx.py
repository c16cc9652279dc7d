from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes_detector import write_constant_model, write_decoded_queries_model, yolox_rows
from onnx import TensorProto

from reid.box_arrays import iou_matrix
from reid.detector_onnx import load_onnx_detector
from reid.errors import DetectorError

FRAME = np.full((64, 128, 3), 90, np.uint8)
"""Twice the size of the tiny networks' input."""


def test_boxes_are_scaled_to_the_frame_clipped_and_sorted(tmp_path: Path) -> None:
    rows = yolox_rows((0, 0.5, 0.5, 1.0, 1.0, 0.5), (37, 0.5, 0.5, 0.0, 0.0, 0.9))
    found = load_onnx_detector(write_constant_model(tmp_path / "m.onnx", rows), num_threads=1).detect(FRAME)
    size = 8 * np.e
    np.testing.assert_allclose(found.xyxy, [[32, 32, 64, 64], [0, 0, 8 + size, 8 + size]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.9, 0.5], rtol=1e-5)


def test_two_boxes_of_one_person_become_the_better_one(tmp_path: Path) -> None:
    rows = yolox_rows((0, 2.0, 2.0, 1.0, 1.0, 0.5), (1, 1.1, 2.0, 1.0, 1.0, 0.9))
    found = load_onnx_detector(write_constant_model(tmp_path / "m.onnx", rows), num_threads=1).detect(FRAME)
    np.testing.assert_allclose(found.scores, [0.9], rtol=1e-5)


def test_queries_keep_close_boxes_of_two_persons_best_first(tmp_path: Path) -> None:
    shares = np.array([[0.1, 0.2, 0.5, 0.9], [0.12, 0.2, 0.52, 0.9], [0.6, -0.1, 0.9, 0.5]])
    model = write_decoded_queries_model(
        tmp_path / "m.onnx", shares, np.array([0.6, 0.9, 0.8]), labels=np.array([0, 0, 0])
    )
    found = load_onnx_detector(model, num_threads=1).detect(FRAME)
    frame_size = np.array([128, 64, 128, 64])
    np.testing.assert_allclose(found.xyxy, (np.maximum(shares, 0) * frame_size)[[1, 2, 0]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6], rtol=1e-6)


def test_rf_detr_is_read_in_a_frame_of_other_proportions(tmp_path: Path) -> None:
    logits = np.full((1, 6, 91), -9.0)
    logits[0, 2, 1] = 3.0
    boxes = np.full((1, 6, 4), 0.5)
    model = write_constant_model(tmp_path / "m.onnx", {"dets": boxes, "labels": logits}, name="input")
    found = load_onnx_detector(model, num_threads=1).detect(np.zeros((400, 100, 3), np.uint8))
    np.testing.assert_allclose(found.xyxy, [[25, 100, 75, 300]], rtol=1e-5)


def test_a_graph_in_half_precision_is_refused(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "m.onnx", yolox_rows(), kind=TensorProto.FLOAT16)
    with pytest.raises(DetectorError, match="takes float16 as images, wanted float32"):
        load_onnx_detector(model)


def test_boxes_outside_the_frame_are_left_out(tmp_path: Path) -> None:
    rows = yolox_rows((0, -9.0, 0.5, 0.0, 0.0, 0.9))
    found = load_onnx_detector(write_constant_model(tmp_path / "m.onnx", rows), num_threads=1).detect(FRAME)
    assert (found.xyxy.shape, found.scores.shape) == ((0, 4), (0,))


def test_detections_are_float32_and_weak_ones_are_left_out(tmp_path: Path) -> None:
    rows = yolox_rows((0, 0.5, 0.5, 1.0, 1.0, 0.2), (20, 0.5, 0.5, 0.0, 0.0, 0.4))
    model = write_constant_model(tmp_path / "m.onnx", rows)
    found = load_onnx_detector(model, min_score=0.3, num_threads=1).detect(FRAME)
    assert (len(found), found.xyxy.dtype, found.scores.dtype) == (1, np.float32, np.float32)
    assert len(load_onnx_detector(model, min_score=0.1, num_threads=1).detect(FRAME)) == 2


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"no detector at .*none\.onnx"):
        load_onnx_detector(tmp_path / "none.onnx")


def test_a_broken_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "junk.onnx"
    path.write_bytes(b"junk")
    with pytest.raises(DetectorError, match=r"junk\.onnx cannot be loaded"):
        load_onnx_detector(path)


def test_an_unknown_layout_names_the_file_and_its_shapes(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "m.onnx", np.zeros((1, 7, 7)))
    with pytest.raises(DetectorError, match=r"m\.onnx .*images \(1, 3, 32, 64\) -> output \(1, 7, 7\)"):
        load_onnx_detector(model)


def test_a_score_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"min_score of m\.onnx is 1\.5, wanted 0 to 1"):
        load_onnx_detector(write_constant_model(tmp_path / "m.onnx", yolox_rows()), min_score=1.5)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)],
    ids=["grey", "float", "empty"],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, frame: np.ndarray) -> None:
    detector = load_onnx_detector(write_constant_model(tmp_path / "m.onnx", yolox_rows()), num_threads=1)
    with pytest.raises(DetectorError, match="wanted BGR uint8"):
        detector.detect(frame)


def mot_truth(sequence: Path, *, min_height_px: float, min_visibility: float) -> dict[int, np.ndarray]:
    """Boxes of pedestrians by frame number."""
    table = np.loadtxt(sequence / "gt" / "gt.txt", delimiter=",", ndmin=2)
    is_counted = (table[:, 6] == 1) & (table[:, 7] == 1)
    table = table[is_counted & (table[:, 8] >= min_visibility) & (table[:, 5] >= min_height_px)]
    xyxy = np.hstack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]]).astype(np.float32)
    return {int(number): xyxy[table[:, 0] == number] for number in np.unique(table[:, 0])}


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "least_recall", "least_precision"),
    [("yolox_nano_416x416", 0.69, 0.75), ("nanodet_m_320", 0.57, 0.58), ("light_person_detector", 0.42, 0.74)],
    ids=["yolox", "nanodet", "light"],
)
def test_public_models_find_the_large_people_of_mot17(
    data_root: Path, model: str, least_recall: float, least_precision: float
) -> None:
    detector = load_onnx_detector(data_root / "detectors_onnx" / f"{model}.onnx", num_threads=1)
    num_true = num_found = num_boxes = num_right = 0
    for sequence in sorted((data_root / "mot17_mini" / "train").iterdir()):
        large = mot_truth(sequence, min_height_px=150, min_visibility=0.5)
        everybody = mot_truth(sequence, min_height_px=0, min_visibility=0)
        for number, boxes in list(large.items())[::3]:
            found = detector.detect(cv2.imread(str(sequence / "img1" / f"{number:06d}.jpg")))
            num_true, num_boxes = num_true + len(boxes), num_boxes + len(found)
            num_found += int((iou_matrix(boxes, found.xyxy).max(axis=1, initial=0) >= 0.5).sum())
            num_right += int((iou_matrix(found.xyxy, everybody[number]).max(axis=1, initial=0) >= 0.5).sum())
    assert num_true == 113
    assert num_found / num_true >= least_recall
    assert num_right / num_boxes >= least_precision


@pytest.mark.data
def test_yolox_finds_people_in_full_hd_frames(data_root: Path) -> None:
    detector = load_onnx_detector(
        data_root / "detectors_onnx" / "yolox_nano_416x416.onnx", min_score=0.4, num_threads=1
    )
    paths = sorted((data_root / "market1501_frames" / "frames").glob("*.jpg"))
    counts = [len(detector.detect(cv2.imread(str(path)))) for path in paths]
    assert len(paths) == 16
    assert min(counts) >= 1


@pytest.mark.data
def test_public_models_agree_on_the_people_of_a_real_video(data_root: Path) -> None:
    names = ("yolox_nano_416x416", "nanodet_m_320", "light_person_detector")
    detectors = [
        load_onnx_detector(data_root / "detectors_onnx" / f"{name}.onnx", min_score=0.4, num_threads=1)
        for name in names
    ]
    overlaps = []
    for frame in every_frame(data_root / "videos" / "intel_one-by-one-person-detection.mp4", step=60):
        boxes = [detector.detect(frame).xyxy for detector in detectors]
        if all(len(found) for found in boxes):
            overlaps += [float(iou_matrix(boxes[0], found).max()) for found in boxes[1:]]
    assert len(overlaps) >= 2 * 14
    assert min(overlaps) > 0.7
    assert np.mean(overlaps) > 0.9


def every_frame(video: Path, *, step: int) -> Iterator[np.ndarray]:
    """Every `step`-th frame of a video."""
    capture = cv2.VideoCapture(str(video))
    number = 0
    while capture.grab():
        if number % step == 0:
            yield capture.retrieve()[1]
        number += 1
    capture.release()
