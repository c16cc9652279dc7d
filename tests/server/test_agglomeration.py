from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from server.matching.agglomeration import agglomerate
from server.matching.constraints import Parts, constrained_parts

ANGLES_DEG = [0, 20, 41, 90, 100]


def on_circle(angles_deg: list[float]) -> np.ndarray:
    angles = np.radians(angles_deg)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def joined(
    parts: Parts, least_deg: float, *, among: list[list[int]], weights: list[float] | None = None
) -> list[list[int]]:
    agglomerate(
        on_circle(ANGLES_DEG),
        np.array(weights or [1.0] * len(ANGLES_DEG), dtype=np.float32),
        parts,
        among=[np.array(rows) for rows in among],
        least_similarity=float(np.cos(np.radians(least_deg))),
    )
    return parts.members()


EVERYBODY = [[0, 1, 2, 3, 4]]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000), st.floats(0.0, 0.9))
def test_without_constraints_it_is_scipys_average_linkage(count: int, seed: int, least: float) -> None:
    feats = np.random.default_rng(seed).normal(0.4, 1, (count, 4))
    feats = (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32)
    parts = Parts(count)
    agglomerate(feats, np.ones(count, np.float32), parts, among=[np.arange(count)], least_similarity=least)
    wanted = fcluster(linkage(feats, method="average", metric="cosine"), 1 - least, criterion="distance")
    assert {tuple(part) for part in parts.members()} == {tuple(np.flatnonzero(wanted == c)) for c in set(wanted)}


def test_means_do_not_chain() -> None:
    assert joined(Parts(5), 22, among=EVERYBODY) == [[0, 1], [2], [3, 4]]


def test_weights_decide_whose_similarity_counts() -> None:
    assert joined(Parts(5), 25, among=EVERYBODY, weights=[0.01, 1, 1, 1, 1])[0] == [0, 1, 2]


def test_groups_that_share_nobody_do_not_join() -> None:
    assert joined(Parts(5), 60, among=[[0, 1], [2, 3]]) == [[0, 1], [2, 3], [4]]


def test_whoever_was_together_brings_its_groups_together() -> None:
    assert joined(constrained_parts(5, [], [(True, (1, 2))]), 60, among=[[0, 1], [2, 3]]) == [[0, 1, 2], [3], [4]]


@pytest.mark.parametrize("among", [EVERYBODY, [[0, 1, 2], [3, 4]]], ids=["all", "groups"])
def test_what_must_stay_apart_does(among: list[list[int]]) -> None:
    assert joined(constrained_parts(5, [(0, 1)], []), 60, among=among) == [[0], [1, 2], [3, 4]]
