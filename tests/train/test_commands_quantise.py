from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fakes_dataset import write_people
from fakes_graph import DIM, small_graph
from releases import write_tiny_release

import train.commands_quantise
from reid.embedding import normalise
from reid.release import GOLDEN_FILE, Release, load_release, write_release
from simulation.golden import golden_crops
from train.cli import main
from train.datasets.market1501 import read_market_folder
from train.datasets.registry import DATASETS
from train.datasets.splits import split_by_identity
from train.evaluate import Evaluation, evaluate_split


@pytest.fixture
def small_release(tmp_path: Path) -> Release:
    """A release around `small_graph`, which has layers to quantise."""
    tiny = write_tiny_release(tmp_path / "small")
    onnx.save(small_graph(), tiny.model_path)
    crops = golden_crops(3)
    feats_BD = ort.InferenceSession(str(tiny.model_path)).run(None, {"crops": crops})[0]
    np.savez_compressed(tiny.folder / GOLDEN_FILE, crops=crops, embeddings=normalise(feats_BD))
    return write_release(tiny.folder, tiny.manifest.model_dump(exclude={"sha256"}) | {"dim": DIM})


@pytest.fixture
def places(tmp_path: Path, small_release: Release, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options naming it, and 10 people of whom 4 train."""
    write_people(tmp_path / "data", num_pids=10, num_crops=4)
    parts = {"500-251": lambda root: split_by_identity(read_market_folder(root), num_train_pids=4)}
    monkeypatch.setitem(DATASETS, "market1501", parts)
    folders = {"--release": small_release.folder, "--data-root": tmp_path / "data", "--cache": tmp_path / "cache"}
    return [word for option, folder in folders.items() for word in (option, str(folder))]


@pytest.fixture
def made(tmp_path: Path) -> list[str]:
    return ["--out", str(tmp_path / "made")]


def run(*arguments: str, status: int = 0) -> None:
    with pytest.raises(SystemExit, match=str(status)):
        main(["quantise", *arguments])


def test_both_graphs_are_made_measured_and_printed(
    tmp_path: Path, places: list[str], made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(*places, *made, "--json")
    printed = json.loads(capsys.readouterr().out)
    release = load_release(tmp_path / "made")
    assert release.precisions == ("fp32", "fp16", "int8")
    assert printed["precisions"]["int8"]["mAP"] == release.manifest.metrics["int8.mAP"]
    assert printed["precisions"]["fp16"]["least_cosine"] > 0.999
    assert "accepted: on market1501 500-251 mAP" in release.manifest.provenance["int8"]
    assert "ranges from 16 crops of the training part" in release.manifest.provenance["int8"]


def test_one_graph_may_be_asked_for(
    tmp_path: Path, places: list[str], made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(*places, *made, "--precision", "fp16")
    assert load_release(tmp_path / "made").precisions == ("fp32", "fp16")
    assert "fp16 on market1501 500-251: mAP" in capsys.readouterr().out


def losing_int8(evaluate: Callable[..., Evaluation]) -> Callable[..., Evaluation]:
    def fallen(embedder: Any, *arguments: Any, **options: Any) -> Evaluation:
        done = evaluate(embedder, *arguments, **options)
        return replace(done, scores=replace(done.scores, mAP=0.1 if embedder.precision == "int8" else 0.2))

    return fallen


def test_a_refused_graph_ends_the_command_with_one_error_and_writes_nothing(
    tmp_path: Path,
    places: list[str],
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train.commands_quantise, "evaluate_split", losing_int8(evaluate_split))
    run(*places, *made, "--json", status=2)
    printed = capsys.readouterr()
    assert "in int8 finds people too much worse: mAP 10.00%" in " ".join(printed.err.split())
    assert printed.out == ""
    assert not (tmp_path / "made").exists()
