"""The rival of `reid.metrics`: mAP and CMC one query at a time, sorting the whole gallery for each."""

from __future__ import annotations

from reid.metrics import Labels
from reid.types import FloatArray


def plain_scores(similarities_QG: FloatArray, query: Labels, gallery: Labels, *, max_rank: int) -> list[float]:
    """Scores as the definition reads.

    Returns:
        mAP, then cmc[0] ... cmc[max_rank - 1].
    """
    precisions: list[float] = []
    hits = [0] * max_rank
    gallery_pids, gallery_camids = gallery.pids.tolist(), gallery.camids.tolist()
    for row, pid, camid in zip(similarities_QG, query.pids.tolist(), query.camids.tolist(), strict=True):
        ranked = (-row).argsort(kind="stable").tolist()
        kept = [g for g in ranked if not (gallery_pids[g] == pid and gallery_camids[g] == camid)]
        matches = [rank for rank, g in enumerate(kept) if gallery_pids[g] == pid]
        if not matches:
            continue
        precisions.append(sum((n + 1) / (rank + 1) for n, rank in enumerate(matches)) / len(matches))
        for rank in range(matches[0], max_rank):
            hits[rank] += 1
    return [sum(precisions) / len(precisions), *(count / len(precisions) for count in hits)]
