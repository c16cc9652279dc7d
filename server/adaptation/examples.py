"""Examples of what a candidate release finds otherwise than its parent, on crops that no training has seen.

Of each tracklet that is held out, its first crop asks and the last crops of all of them answer. Its own last crop is
the one answer that is known to be right; tracklets of the same camera that nobody joined stand for other people, as in
the gate's measures. Crops are named, never copied: whoever is erased is erased from the examples too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from reid.embedder import Embedder
from reid.errors import ReleaseError
from reid.preprocess import read_image, resize_crop
from reid.settings import Settings
from reid.snapshot import Snapshot, SnapshotCrop
from reid.types import FloatArray, IntArray
from server.crops.snapshot import crop_name_of
from server.gate.held_out import draw_evenly
from server.gate.measures import Tracklets, Values, make_tracklets, own_ranks

Known = Literal["same", "different", "unknown"]
"""Whether an answer shows who was asked for, as far as anybody can know without labels."""
_BATCH_CROPS = 32
_NUM_SHOWN = 6
"""Examples."""
_NUM_ANSWERS = 5
"""Of each release, in one example."""
_SEED = 0


class Answer(Settings):
    """A crop that was found."""

    spool_key: int
    seq: int
    similarity: float
    known: Known


class Example(Settings):
    """What one crop finds with both releases; a rank is that of its own tracklet in its camera, from 1."""

    spool_key: int
    seq: int
    rank_before: int
    rank_after: int
    before: tuple[Answer, ...]
    after: tuple[Answer, ...]


class Examples(Settings):
    """Some examples, and how all tracklets came out that were looked at."""

    num_tracklets: int
    num_better: int
    num_worse: int
    examples: tuple[Example, ...]


class Ends(NamedTuple):
    """Unit-norm float32 embeddings of first and last crops, (T, D) each."""

    heads: FloatArray
    tails: FloatArray


@dataclass(frozen=True)
class HeldOutEnds:
    """First and last crops of tracklets that are held out.

    Attributes:
        heads: By tracklet.
        tails: By tracklet.
        tracklets: What is known of them, numbered alike.
    """

    heads: Sequence[SnapshotCrop]
    tails: Sequence[SnapshotCrop]
    tracklets: Tracklets


def make_examples(snapshot: Snapshot, parent: Embedder, candidate: Embedder, *, max_tracklets: int = 120) -> Examples:
    """Embed the ends of held-out tracklets with both releases, and choose examples.

    Args:
        snapshot: It; no examples come of one with no two held-out crops of a tracklet.
        parent: The release before.
        candidate: The one after.
        max_tracklets: So many are drawn, evenly over the cameras.

    Raises:
        ImageError: A crop cannot be decoded.
        EmbeddingError: An output is not finite.
    """
    ends = _draw(snapshot, max_tracklets)
    if not ends.heads:
        return Examples(num_tracklets=0, num_better=0, num_worse=0, examples=())
    before, after = (_embed(embedder, snapshot, ends) for embedder in (parent, candidate))
    return choose(ends, before, after)


def choose(ends: HeldOutEnds, before: Ends, after: Ends) -> Examples:
    """Those that changed most, to the better and to the worse in equal parts, filled up with others by chance. Pure."""
    ranks_before, ranks_after = (own_ranks(*each, ends.tracklets) for each in (before, after))
    gains = 1.0 / ranks_after - 1.0 / ranks_before
    shown = _pick(gains)
    return Examples(
        num_tracklets=len(gains),
        num_better=int(np.sum(gains > 0)),
        num_worse=int(np.sum(gains < 0)),
        examples=tuple(
            Example(
                **_name(ends.heads[row]),
                rank_before=int(ranks_before[row]),
                rank_after=int(ranks_after[row]),
                before=_answers(row, before, ends),
                after=_answers(row, after, ends),
            )
            for row in shown
        ),
    )


def read_examples(path: Path) -> Examples | None:
    """The examples in a file; None while there is none.

    Raises:
        ReleaseError: It is damaged.
    """
    try:
        return Examples.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ReleaseError(f"no examples of a gate in {path}: {error}") from None


def _draw(snapshot: Snapshot, max_tracklets: int) -> HeldOutEnds:
    by_tracklet: defaultdict[int, list[SnapshotCrop]] = defaultdict(list)
    for crop in snapshot.of_part("held_out"):
        by_tracklet[crop.tracklet].append(crop)
    sorted_crops = (sorted(crops, key=lambda crop: crop.time_us) for crops in by_tracklet.values())
    both_ends = [[crops[0], crops[-1]] for crops in sorted_crops if len(crops) > 1]
    drawn = sorted(draw_evenly(both_ends, 2 * max_tracklets, seed=_SEED), key=lambda ends: ends[0].tracklet)
    crops = [crop for ends in drawn for crop in ends]
    tracklets = make_tracklets(
        _numbers([crop.tracklet for crop in crops]),
        _numbers([crop.camid for crop in crops]),
        _numbers([crop.time_us for crop in crops]),
        snapshot.apart,
        snapshot.together,
    )
    return HeldOutEnds([head for head, _ in drawn], [tail for _, tail in drawn], tracklets)


def _embed(embedder: Embedder, snapshot: Snapshot, ends: HeldOutEnds) -> Ends:
    crops = [*ends.heads, *ends.tails]
    parts = []
    for first in range(0, len(crops), _BATCH_CROPS):
        batch = [resize_crop(read_image(snapshot.folder / crop.path)) for crop in crops[first : first + _BATCH_CROPS]]
        parts.append(embedder.embed(np.stack(batch)))
    embeddings = np.concatenate(parts)
    return Ends(embeddings[: len(ends.heads)], embeddings[len(ends.heads) :])


def _pick(gains: Values) -> list[int]:
    """Rows of the examples: the greatest gains, the greatest losses, then any."""
    order = np.argsort(-gains, kind="stable")
    half = _NUM_SHOWN // 3
    best = [int(row) for row in order[:half] if gains[row] > 0]
    worst = [int(row) for row in order[::-1][:half] if gains[row] < 0]
    chosen = dict.fromkeys([*best, *worst])
    others = [int(row) for row in np.random.default_rng(_SEED).permutation(len(gains)) if int(row) not in chosen]
    return [*chosen, *others][:_NUM_SHOWN]


def _answers(row: int, ends: Ends, held_out: HeldOutEnds) -> tuple[Answer, ...]:
    similarities = ends.tails @ ends.heads[row]
    nearest = np.argsort(-similarities, kind="stable")[:_NUM_ANSWERS]
    return tuple(
        Answer(
            **_name(held_out.tails[other]),
            similarity=float(similarities[other]),
            known=_known(row, int(other), held_out.tracklets),
        )
        for other in nearest
    )


def _known(row: int, other: int, tracklets: Tracklets) -> Known:
    pair = np.array([sorted((row, other))])
    if row == other or _holds(tracklets.together, pair):
        return "same"
    return "different" if _holds(tracklets.apart, pair) else "unknown"


def _holds(pairs: IntArray, pair: IntArray) -> bool:
    return bool((np.sort(pairs, axis=1) == pair).all(axis=1).any())


def _name(crop: SnapshotCrop) -> dict[str, int]:
    return crop_name_of(crop.path)._asdict()


def _numbers(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
