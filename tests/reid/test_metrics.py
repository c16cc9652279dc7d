from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.embedding import normalise
from reid.metrics import Labels, match_ranks, score_embeddings, score_similarities, threshold_at_false_match_rate
from reid.types import AnyArray, FloatArray


def labels(pids: list[int], camids: list[int]) -> Labels:
    return Labels(np.array(pids, dtype=np.int64), np.array(camids, dtype=np.int64))


def plain_scores(
    similarity_QG: FloatArray, query: Labels, gallery: Labels, max_rank: int
) -> tuple[float, float, AnyArray]:
    """The definition, one query at a time, with a full stable sort."""
    average_precisions, penalties, cmcs = [], [], []
    for row, (pid, camid) in enumerate(zip(*query, strict=True)):
        order = sorted(range(len(gallery.pids)), key=lambda column: -similarity_QG[row, column])
        kept = [g for g in order if gallery.pids[g] != -1 and (gallery.pids[g], gallery.camids[g]) != (pid, camid)]
        hits = [gallery.pids[g] == pid for g in kept]
        if pid == -1 or not any(hits):
            continue
        ranks = [place for place, hit in enumerate(hits, start=1) if hit]
        average_precisions.append(np.mean([number / rank for number, rank in enumerate(ranks, start=1)]))
        penalties.append(len(ranks) / ranks[-1])
        cmcs.append([float(ranks[0] <= k) for k in range(1, max_rank + 1)])
    return float(np.mean(average_precisions)), float(np.mean(penalties)), np.mean(cmcs, axis=0)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[FloatArray, Labels, Labels]:
    """Small tasks with many ties, junk, distractors and queries without a match; query 0 always has one."""
    num_query, num_gallery = draw(st.integers(1, 6)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    similarity: FloatArray = (rng.integers(-3, 4, (num_query, num_gallery)) / 4).astype(np.float32)
    query = Labels(rng.integers(-1, 4, num_query), rng.integers(1, 4, num_query))
    gallery = Labels(rng.integers(-1, 4, num_gallery), rng.integers(1, 4, num_gallery))
    query.pids[0], query.camids[0], gallery.pids[-1], gallery.camids[-1] = 1, 1, 1, 2
    return similarity, query, gallery


@given(tasks())
def test_scores_equal_the_plain_definition(task: tuple[FloatArray, Labels, Labels]) -> None:
    scores = score_similarities(*task, max_rank=10)
    mean_ap, mean_inp, cmc = plain_scores(*task, max_rank=10)
    assert scores.mAP == pytest.approx(mean_ap, abs=1e-12)
    assert scores.mINP == pytest.approx(mean_inp, abs=1e-12)
    np.testing.assert_allclose(scores.cmc, cmc, atol=1e-12)
    assert scores.num_queries + scores.num_unmatched == len(task[1].pids)


@given(tasks())
def test_scores_depend_on_order_alone(task: tuple[FloatArray, Labels, Labels]) -> None:
    similarity, query, gallery = task
    scaled = score_similarities(similarity * 2 + 1, query, gallery)
    assert scaled.mAP == score_similarities(similarity, query, gallery).mAP


def test_by_hand() -> None:
    # Ranked: match, other, match, other -> precisions 1 and 2/3; the last match stands at rank 3.
    similarity = np.array([[0.9, 0.8, 0.7, 0.6]], dtype=np.float32)
    scores = score_similarities(similarity, labels([1], [1]), labels([1, 2, 1, 3], [2, 2, 3, 2]))
    assert scores.mAP == pytest.approx((1 + 2 / 3) / 2)
    assert scores.mINP == pytest.approx(2 / 3)
    assert scores.rank(1) == 1.0


def test_same_pid_of_same_camera_and_junk_do_not_count() -> None:
    similarity = np.array([[0.9, 0.8, 0.5]], dtype=np.float32)
    scores = score_similarities(similarity, labels([1], [1]), labels([1, -1, 1], [1, 2, 2]))
    assert (scores.mAP, scores.rank(1)) == (1.0, 1.0)


def test_distractors_count_against_a_query() -> None:
    similarity = np.array([[0.9, 0.5]], dtype=np.float32)
    assert score_similarities(similarity, labels([1], [1]), labels([0, 1], [2, 2])).rank(1) == 0.0


def test_of_equal_similarities_the_earlier_row_ranks_first() -> None:
    ties = np.full(3, 0.5, dtype=np.float32)
    nobody = np.empty(0, dtype=np.int64)
    assert match_ranks(ties, matches=np.array([1]), excluded=nobody).tolist() == [2]


def test_blocks_give_the_scores_of_the_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    feats = normalise(rng.standard_normal((40, 8)))
    who = Labels(rng.integers(0, 5, 40), rng.integers(0, 3, 40))
    task = feats[:9], feats[9:], Labels(who.pids[:9], who.camids[:9]), Labels(who.pids[9:], who.camids[9:])
    whole = score_embeddings(*task)
    monkeypatch.setattr("reid.metrics._BLOCK_ENTRIES", 70)
    assert score_embeddings(*task).mAP == pytest.approx(whole.mAP, abs=1e-12)


def test_nothing_to_score_is_an_error() -> None:
    similarity = np.zeros((1, 1), dtype=np.float32)
    with pytest.raises(ValueError, match="none of 1 queries has a match under another camera"):
        score_similarities(similarity, labels([1], [1]), labels([1], [1]))


def test_a_gallery_of_junk_alone_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing can be scored"):
        score_similarities(np.zeros((1, 1), dtype=np.float32), labels([1], [1]), labels([-1], [2]))


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 queries and 2 gallery rows, but labels for 1 and 1"):
        score_similarities(np.zeros((1, 2), dtype=np.float32), labels([1], [1]), labels([1], [2]))


def test_nan_similarity_is_refused() -> None:
    similarity = np.array([[np.nan, 0.5]], dtype=np.float32)
    with pytest.raises(ValueError, match="not finite"):
        score_similarities(similarity, labels([1], [1]), labels([1, 2], [2, 2]))


@settings(deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=10, max_size=200), st.sampled_from([0.1, 0.25, 0.5]))
def test_threshold_is_the_lowest_that_keeps_the_rate(values: list[int], rate: float) -> None:
    negative = np.array(values, dtype=np.float32) / 8
    found = threshold_at_false_match_rate(np.ones(3, dtype=np.float32), negative, rate=rate)
    assert np.mean(negative >= found.similarity) == found.false_match_rate <= rate
    one_step_lower = np.nextafter(np.float32(found.similarity), np.float32(-np.inf))
    assert np.mean(negative >= one_step_lower) > rate


def test_threshold_counts_true_matches() -> None:
    negative = np.linspace(0, 0.5, 1000, dtype=np.float32)
    found = threshold_at_false_match_rate(np.array([0.1, 0.6, 0.9, 0.95], dtype=np.float32), negative, rate=0.001)
    assert found.true_match_rate == 0.75


def test_threshold_needs_enough_pairs_for_the_rate() -> None:
    with pytest.raises(ValueError, match=r"10 pairs of two persons cannot show a false-match rate of 0\.001"):
        threshold_at_false_match_rate(np.ones(3), np.zeros(10), rate=0.001)
