"""How well a scene's people were recovered, beyond `reid.identity_metrics`.

Shape letters: N observations, T tracklets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from trackers.eval import compute_hota_metrics

from benchmarks.instruments.identity.scene import Scene
from reid.identity_metrics import NOBODY, cross_camera_pairs, idf1, majority
from reid.types import IntArray

Assignment = Mapping[tuple[int, int], int]
"""person_id of every tracklet, by camera and tracklet_id; -1 for none."""


@dataclass(frozen=True, kw_only=True)
class SceneScores:
    """Scores of one assignment.

    Attributes:
        idf1: Over observations.
        hota: HOTA over observations; boxes are right by themselves, so it tells about association alone.
        ass_a: Its part for association.
        precision: Of pairs of tracklets from different cameras.
        recall: Likewise.
        id_switches: Tracklets with another person_id than the one before of the same person.
        fragments: person_ids for each person, on average; 1 is best.
        num_people: True ones.
        num_persons: Found ones.
    """

    idf1: float
    hota: float
    ass_a: float
    precision: float
    recall: float
    id_switches: int
    fragments: float
    num_people: int
    num_persons: int

    def to_json(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def score(scene: Scene, assignment: Assignment) -> SceneScores:
    """Compare an assignment with the truth."""
    person_ids_N, pids_T, person_ids_T, cameras_T = _by_tracklet(scene, assignment)
    pairs = cross_camera_pairs(pids_T, person_ids_T, cameras_T)
    hota = compute_hota_metrics(
        [_known(pid) for pid in scene.pids_N],
        [_known(person_id) for person_id in person_ids_N],
        [np.ones((int(pid != NOBODY), int(p != NOBODY))) for pid, p in zip(scene.pids_N, person_ids_N, strict=True)],
    )
    ids_of = [person_ids_T[pids_T == pid] for pid in np.unique(pids_T[pids_T != NOBODY])]
    found = [ids[ids != NOBODY] for ids in ids_of]
    return SceneScores(
        idf1=idf1(scene.pids_N, person_ids_N),
        hota=float(hota["HOTA"]),
        ass_a=float(hota["AssA"]),
        precision=pairs.precision,
        recall=pairs.recall,
        id_switches=sum(int(np.count_nonzero(np.diff(ids))) for ids in found),
        fragments=float(np.mean([len(np.unique(ids)) for ids in found])) if found else 0.0,
        num_people=len(ids_of),
        num_persons=len(np.unique(person_ids_T[person_ids_T != NOBODY])),
    )


def _by_tracklet(scene: Scene, assignment: Assignment) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """person_ids of observations; pids, person_ids and cameras of tracklets in the order of their starts."""
    person_ids_N = np.full(len(scene), NOBODY, dtype=np.int64)
    rows_of = scene.rows_by_tracklet()
    for name, rows in rows_of.items():
        person_ids_N[rows] = assignment[name]
    pids_T = np.array([majority(scene.pids_N[rows]) for rows in rows_of.values()], dtype=np.int64)
    person_ids_T = np.array([assignment[name] for name in rows_of], dtype=np.int64)
    return person_ids_N, pids_T, person_ids_T, np.array([camera for camera, _ in rows_of], dtype=np.int64)


def _known(label: int) -> IntArray:
    return np.array([label] if label != NOBODY else [], dtype=np.int64)
