"""Joint assignment: of tracklets that exclude one another each gets another person, so that all fit best together.

Shape letters: T tracklets, P persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment


def best_assignment(gains: Sequence[Mapping[int, float]]) -> dict[int, int]:
    """Give tracklets persons, no person twice, so that the sum of gains is largest.

    Args:
        gains: For each tracklet, what it gains from each person it may join; more than 0.

    Returns:
        Index of the tracklet -> person_id; a tracklet may be left without one.
    """
    if len(gains) == 1:
        best = max(gains[0], key=lambda person_id: (gains[0][person_id], -person_id), default=None)
        return {} if best is None else {0: best}
    person_ids = sorted({person_id for row in gains for person_id in row})
    columns = {person_id: column for column, person_id in enumerate(person_ids)}
    gains_TP = np.zeros((len(gains), len(person_ids)))
    for index, row in enumerate(gains):
        for person_id, gain in row.items():
            gains_TP[index, columns[person_id]] = gain
    pairs = zip(*(indices.tolist() for indices in linear_sum_assignment(gains_TP, maximize=True)), strict=True)
    return {index: person_ids[column] for index, column in pairs if gains_TP[index, column] > 0}


def exclusive_groups(spans: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    """Part spans into groups that are linked by overlap in one camera.

    Args:
        spans: camera_key, start and end of each, both ends included.

    Returns:
        Indices, each in one group; groups in order of camera and time.
    """
    groups: list[list[int]] = []
    camera_key, until = -1, 0
    for index in sorted(range(len(spans)), key=lambda i: (*spans[i], i)):
        camera, start, end = spans[index]
        if camera != camera_key or start > until:
            groups.append([])
            camera_key, until = camera, end
        groups[-1].append(index)
        until = max(until, end)
    return groups
