from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes_dataset import write_people
from releases import tiny_int8_model, tiny_model

from reid.embedder import Embedder
from reid.errors import ReleaseError
from reid.release import FILES, TRAINABLE_FILE, Precision, Release, load_release, write_release
from train.datasets.samples import Split
from train.datasets.splits import split_by_identity
from train.errors import DatasetError, QuantisationError
from train.evaluate import Evaluation, evaluate_split
from train.half_graph import half_graph
from train.variants import Evaluate, Graph, add_variants, calibration_samples


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return split_by_identity(write_people(tmp_path / "data", num_pids=8, num_crops=4), num_train_pids=2)


@pytest.fixture
def evaluate(tmp_path: Path, split: Split) -> Evaluate:
    return lambda embedder: evaluate_split(embedder, split, tmp_path / "cache")


@pytest.fixture
def graphs() -> dict[Precision, Graph]:
    return {"fp16": Graph(half_graph(tiny_model()), "halved"), "int8": Graph(tiny_int8_model(), "quantised")}


def losing(fall: float, evaluate: Evaluate) -> Callable[[Embedder], Evaluation]:
    """Make an evaluation in which int8 loses this much of mAP against the rest."""

    def fallen(embedder: Embedder) -> Evaluation:
        done = evaluate(embedder)
        lost = fall if embedder.precision == "int8" else 0.0
        return replace(done, scores=replace(done.scores, mAP=done.scores.mAP - lost))

    return fallen


def test_accepted_graphs_are_sealed_beside_the_others_and_the_space_stays(
    tmp_path: Path, tiny_release: Release, graphs: dict[Precision, Graph], evaluate: Evaluate
) -> None:
    made, _ = add_variants(tiny_release, tmp_path / "made", graphs, evaluate, data_name="made-up people")
    assert load_release(made.folder).precisions == ("fp32", "fp16", "int8")
    assert made.ref == tiny_release.ref
    assert {name: made.manifest.sha256[name] for name in FILES} == tiny_release.manifest.sha256


def test_the_manifest_keeps_the_verdict_with_its_figures(
    tmp_path: Path, tiny_release: Release, graphs: dict[Precision, Graph], evaluate: Evaluate
) -> None:
    made, verdicts = add_variants(
        tiny_release, tmp_path / "made", graphs, losing(0.004, evaluate), data_name="made-up people"
    )
    metrics, provenance = made.manifest.metrics, made.manifest.provenance
    assert metrics["int8.mAP_fp32"] - metrics["int8.mAP"] == pytest.approx(0.004, abs=1e-3)
    assert metrics["int8.least_cosine"] == verdicts["int8"].least_cosine < 1
    assert metrics["fp16.golden_cosine"] == pytest.approx(1, abs=1e-4)
    assert provenance["int8"].startswith("accepted: on made-up people mAP ")
    assert provenance["int8"].endswith("quantised")
    assert provenance["data"] == tiny_release.manifest.provenance["data"]


def test_a_graph_that_loses_half_a_point_is_refused_and_nothing_is_written(
    tmp_path: Path, tiny_release: Release, graphs: dict[Precision, Graph], evaluate: Evaluate
) -> None:
    with pytest.raises(
        QuantisationError, match=r"in int8 finds people too much worse: .* less than 0\.5 points is allowed"
    ):
        add_variants(tiny_release, tmp_path / "made", graphs, losing(0.006, evaluate), data_name="made-up people")
    assert not (tmp_path / "made").exists()
    assert not list(tmp_path.glob(".made*"))


def test_a_graph_that_finds_people_only_among_its_own_embeddings_is_refused(
    tmp_path: Path, tiny_release: Release, graphs: dict[Precision, Graph], evaluate: Evaluate
) -> None:
    def apart(embedder: Embedder) -> Evaluation:
        done = evaluate(embedder)
        turned = done.query.embeddings_MD[:, ::-1] if embedder.precision == "int8" else done.query.embeddings_MD
        return replace(done, query=replace(done.query, embeddings_MD=turned))

    with pytest.raises(QuantisationError, match=r"in int8 finds people too much worse"):
        add_variants(tiny_release, tmp_path / "made", graphs, apart, data_name="made-up people")


def test_a_graph_of_other_weights_is_refused_by_its_golden_crops(
    tmp_path: Path, tiny_release: Release, evaluate: Evaluate
) -> None:
    with pytest.raises(QuantisationError, match=r"in int8 is refused, and nothing was written: .* golden crops"):
        add_variants(
            tiny_release,
            tmp_path / "made",
            {"int8": Graph(tiny_int8_model(seed=1), "quantised")},
            evaluate,
            data_name="made-up people",
        )
    assert not (tmp_path / "made").exists()


def test_a_release_can_take_its_own_place_and_keeps_what_else_it_has(
    tiny_release: Release, graphs: dict[Precision, Graph], evaluate: Evaluate
) -> None:
    (tiny_release.folder / TRAINABLE_FILE).write_bytes(b"weights before folding")
    release = write_release(tiny_release.folder, tiny_release.manifest.model_dump(exclude={"sha256"}))
    with pytest.raises(ReleaseError, match="is not empty"):
        add_variants(release, release.folder, graphs, evaluate, data_name="made-up people")
    made, _ = add_variants(release, release.folder, graphs, evaluate, data_name="made-up people", force=True)
    assert made.trainable_path.read_bytes() == b"weights before folding"
    again, _ = add_variants(
        made, made.folder, {"fp16": graphs["fp16"]}, evaluate, data_name="made-up people", force=True
    )
    assert again.precisions == ("fp32", "fp16", "int8")
    assert again.manifest.metrics["int8.mAP"] == made.manifest.metrics["int8.mAP"]


def test_calibration_takes_people_from_the_whole_training_part_and_none_of_the_test(split: Split) -> None:
    chosen = calibration_samples(split.train, 4)
    assert {sample.pid for sample in chosen} == {1, 2}
    assert not set(chosen) & {*split.query, *split.gallery}
    assert calibration_samples(split.train, 4) == chosen
    assert calibration_samples(split.train) == list(split.train)


def test_nothing_to_calibrate_on_is_an_error() -> None:
    with pytest.raises(DatasetError, match="nothing to calibrate int8 on"):
        calibration_samples(())
