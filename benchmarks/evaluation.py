"""mAP and CMC at the size of Market-1501's official test: ours against a plain evaluator, on made embeddings."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.harness import Outcome, flags, publish
from benchmarks.instruments.plain_evaluator import plain_scores
from reid.embedding import normalise
from reid.metrics import Labels, score_embeddings, score_similarities
from reid.types import FloatArray

NAME = "evaluation"
_MAX_RANK = 50
_NUM_PIDS, _NUM_CAMERAS, _DIM, _NOISE = 750, 6, 512, 2.5
_REPEATS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    chosen = flags(NAME, "mAP and CMC: ours against one query at a time.").parse_args(arguments)
    num_query, num_gallery = (337, 19_732) if chosen.quick else (3_368, 19_732)
    rng = np.random.default_rng(1)
    people = rng.standard_normal((_NUM_PIDS, _DIM), dtype=np.float32)
    query_QD, query = _made(people, num_query, rng)
    gallery_GD, gallery = _made(people, num_gallery, rng)

    started_s = time.perf_counter()
    # The rival's product is part of its time: ours computes similarities block by block inside.
    similarity_QG = query_QD @ gallery_GD.T
    product_s = time.perf_counter() - started_s
    plain = plain_scores(similarity_QG, query, gallery, max_rank=_MAX_RANK)
    plain_s = time.perf_counter() - started_s

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times_s, given_times_s = [], []
    for _ in range(_REPEATS):
        started_s = time.perf_counter()
        scores = score_embeddings(query_QD, gallery_GD, query, gallery, max_rank=_MAX_RANK)
        times_s.append(time.perf_counter() - started_s)
        started_s = time.perf_counter()
        score_similarities(similarity_QG, query, gallery, max_rank=_MAX_RANK)
        given_times_s.append(time.perf_counter() - started_s)
    extra_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024

    difference = np.abs(np.array([scores.mAP, *scores.cmc[:_MAX_RANK]]) - plain).max()
    figures = {
        "speedup": plain_s / float(np.median(times_s)),
        "speedup_given_similarities": (plain_s - product_s) / float(np.median(given_times_s)),
        "max_abs_diff": float(difference),
    }
    details = {
        "num_query": num_query,
        "num_gallery": num_gallery,
        "plain_s": plain_s,
        "product_s": product_s,
        "ours_s": times_s,
        "ours_given_similarities_s": given_times_s,
        "extra_mib_over_rival": extra_mib,
        "mAP": scores.mAP,
    }
    if not chosen.json:
        print(f"plain {plain_s:.1f} s, ours {np.median(times_s):.2f} s, mAP {scores.mAP:.4f}")
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)


def _made(people: FloatArray, count: int, rng: np.random.Generator) -> tuple[FloatArray, Labels]:
    """Noisy embeddings of random people under random cameras."""
    pids, camids = rng.integers(0, len(people), count), rng.integers(0, _NUM_CAMERAS, count)
    feats = normalise(people[pids] + _NOISE * rng.standard_normal((count, people.shape[1])))
    return feats, Labels(pids=pids, camids=camids)


if __name__ == "__main__":
    main()
