from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_dataset import write_people

from reid.embedder import OnnxEmbedder
from reid.metrics import score_similarities
from reid.release import Release
from train.crop_cache import load_crops
from train.datasets.samples import Split
from train.datasets.splits import split_by_identity
from train.errors import DatasetError
from train.evaluate import embed_all, evaluate_split, labels_of


def test_scores_are_those_of_the_release_on_the_test_part(tmp_path: Path, tiny_release: Release) -> None:
    split = split_by_identity(write_people(tmp_path / "data", num_pids=8, num_crops=6), num_train_pids=2)
    embedder = OnnxEmbedder(tiny_release, num_threads=1)
    done = evaluate_split(embedder, split, tmp_path / "cache")
    query, gallery = (load_crops(part, tmp_path / "cache") for part in (split.query, split.gallery))
    similarity = embedder.embed(np.array(query.crops)) @ embedder.embed(np.array(gallery.crops)).T
    assert done.scores.mAP == pytest.approx(score_similarities(similarity, labels_of(query), labels_of(gallery)).mAP)
    assert (done.scores.num_queries, done.num_gallery, done.num_skipped) == (12, 24, 0)


def test_batches_are_put_together_in_order(tiny_release: Release, rng: np.random.Generator) -> None:
    crops = rng.integers(0, 256, (70, 256, 128, 3), dtype=np.uint8)
    embedder, seen = OnnxEmbedder(tiny_release, num_threads=1), []
    feats = embed_all(embedder, crops, on_batch=lambda done, num_crops: seen.append((done, num_crops)))
    np.testing.assert_allclose(feats, embedder.embed(crops), atol=1e-6)
    assert seen == [(32, 70), (64, 70), (70, 70)]


def test_a_split_without_a_test_part_is_refused(tmp_path: Path, tiny_release: Release) -> None:
    samples = tuple(write_people(tmp_path / "data", num_pids=2, num_crops=2))
    with pytest.raises(DatasetError, match="this split has no query and gallery"):
        evaluate_split(OnnxEmbedder(tiny_release), Split(train=samples, query=(), gallery=()), tmp_path / "cache")
