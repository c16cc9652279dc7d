from __future__ import annotations

import numpy as np
import pytest

from reid.embedding import normalise
from reid.metrics import Labels, cosine_blocks, score_blocks
from reid.reranking import ReRankSettings, reranked_blocks

WHOLE = slice(0, None)
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def unit(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_final_distance_by_hand() -> None:
    """Reciprocal pairs {query, g0} and {g1, g2}: Jaccard 0 within, 1 across; squared distances 0 and 2, largest 2."""
    settings = ReRankSettings(k1=1, k2=1, original_weight=0.3)
    similarities_of = reranked_blocks(unit(EAST), unit(EAST, NORTH, NORTH), settings)
    np.testing.assert_allclose(similarities_of(WHOLE), [[0.0, -1.0, -1.0]], atol=1e-6)


def test_jaccard_and_original_distance_mix_by_lambda() -> None:
    """The nearest of the query is g0, at 60 degrees (squared distance 1); g1 and g2 lie opposite (4)."""
    gallery = unit([0.5, np.sqrt(0.75)], [-1.0, 0.0], [-1.0, 0.0])
    settings = ReRankSettings(k1=1, k2=1, original_weight=0.3)
    near = reranked_blocks(unit(EAST), gallery, settings)(WHOLE)[0]
    # Encodings of query and g0: weights 1 and exp(-1) on each other, scaled to sum 1; overlap of the minima is 2 m.
    least = np.exp(-1) / (1 + np.exp(-1))
    jaccard = 1 - 2 * least / (2 - 2 * least)
    np.testing.assert_allclose(near, [-(0.7 * jaccard + 0.3 / 4), -1.0, -1.0], atol=1e-6)


def test_lambda_one_leaves_the_order_of_cosines(rng: np.random.Generator) -> None:
    query, gallery = normalise(rng.standard_normal((5, 8))), normalise(rng.standard_normal((40, 8)))
    reranked = reranked_blocks(query, gallery, ReRankSettings(original_weight=1))(WHOLE)
    np.testing.assert_array_equal(np.argsort(-reranked), np.argsort(-cosine_blocks(query, gallery)(WHOLE)))


def test_blocks_are_rows_of_the_whole(rng: np.random.Generator) -> None:
    query, gallery = normalise(rng.standard_normal((6, 8))), normalise(rng.standard_normal((40, 8)))
    similarities_of = reranked_blocks(query, gallery)
    np.testing.assert_allclose(similarities_of(slice(2, 4)), similarities_of(WHOLE)[2:4], atol=1e-6)


def test_shared_neighbours_raise_map_where_people_form_clusters(rng: np.random.Generator) -> None:
    people = rng.standard_normal((20, 16))
    pids = np.repeat(np.arange(20), 12)
    feats = normalise(people[pids] + 0.8 * rng.standard_normal((len(pids), 16)))
    camids = np.tile(np.arange(12), 20)
    is_query = camids == 0
    query, gallery = Labels(pids[is_query], camids[is_query]), Labels(pids[~is_query], camids[~is_query])
    plain, reranked = (
        score_blocks(blocks(feats[is_query], feats[~is_query]), query, gallery).mAP
        for blocks in (cosine_blocks, reranked_blocks)
    )
    assert reranked > plain


@pytest.mark.parametrize("wrong", [{"k1": 0}, {"k2": 0}, {"original_weight": 1.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="re-ranking wants k1 and k2 of at least 1"):
        ReRankSettings(**wrong)  # type: ignore[arg-type]
