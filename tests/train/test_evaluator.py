from __future__ import annotations

from pathlib import Path

from fakes_dataset import write_people

from train.datasets.splits import split_all, split_by_identity
from train.evaluator import evaluator_of
from train.osnet import build_osnet


def test_a_network_is_scored_on_the_people_of_the_test_part(tmp_path: Path) -> None:
    split = split_by_identity(write_people(tmp_path / "people", num_pids=4, num_crops=4), num_train_pids=1)
    evaluate = evaluator_of(split, tmp_path / "cache")
    assert evaluate is not None
    scores = evaluate(build_osnet("osnet_x0_25"))
    assert list(scores) == ["mAP", "R1", "R5", "R10"]
    assert 0 < scores["mAP"] <= scores["R10"] == 1.0


def test_a_split_without_a_test_part_is_not_scored(tmp_path: Path) -> None:
    assert evaluator_of(split_all(write_people(tmp_path / "people", num_pids=2, num_crops=1)), tmp_path) is None
