"""Who went from which camera to which other one, and how long it took: what the site taught about its own ways. Pure.

A passage is a person seen in one camera, and next in another within `most_gap_s`; whoever stays away for longer has
left. It goes by the persons that the server knows, so that a wrong merge makes a passage that nobody took: the figures
are for people to look at, and matching learns its own from sure meetings (`transitions`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from server.types import Stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What is known of one way between two cameras.

    Attributes:
        from_camera: Its key.
        to_camera: Its key.
        num_passages: How often it was taken.
        num_persons: By how many.
        share: Of all passages that begin in the first camera, in (0, 1].
        quartiles_s: A quarter, half and three quarters of them took no longer; 0 where the views overlap.
    """

    from_camera: int
    to_camera: int
    num_passages: int
    num_persons: int
    share: float
    quartiles_s: tuple[float, float, float]


def find_passages(stays: Iterable[Stay], *, most_gap_s: float) -> list[Passage]:
    """Find all passages, the way taken most often first.

    Args:
        stays: In any order.
        most_gap_s: Longest time between two cameras, from when the first saw the person last.
    """
    gaps_s: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    persons: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    ordered = sorted(stays, key=lambda stay: (stay.person_id, stay.start_us, stay.camera_key))
    for person_id, own in groupby(ordered, key=lambda stay: stay.person_id):
        for before, after in pairwise(own):
            gap_s = max(0.0, (after.start_us - before.end_us) / 1e6)
            if before.camera_key != after.camera_key and gap_s <= most_gap_s:
                way = before.camera_key, after.camera_key
                gaps_s[way].append(gap_s)
                persons[way].add(person_id)
    leaving: defaultdict[int, int] = defaultdict(int)
    for (from_camera, _), gaps in gaps_s.items():
        leaving[from_camera] += len(gaps)
    return [
        Passage(
            from_camera=way[0],
            to_camera=way[1],
            num_passages=len(gaps),
            num_persons=len(persons[way]),
            share=len(gaps) / leaving[way[0]],
            quartiles_s=_quartiles(gaps),
        )
        for way, gaps in sorted(gaps_s.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high
