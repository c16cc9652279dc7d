from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reid.embedding import normalise
from train.errors import TrainingError
from train.pseudo_labels import (
    ClusterSettings,
    centre_cameras,
    cross_camera_share,
    joined_tracklets,
    make_pseudo_labels,
    neighbouring_clusters,
    pair_scores,
)
from train.site import SiteCrops


def people(num_people: int, *, crops: int = 10, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of persons, `crops` each, and their pids."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(num_people), crops)
    feats = rng.standard_normal((num_people, 32))[pids] + noise * rng.standard_normal((len(pids), 32))
    return normalise(feats), pids


def site(
    pids: np.ndarray, camids: np.ndarray | None = None, *, tracklets: np.ndarray | None = None, apart: object = ()
) -> SiteCrops:
    """A site of these people, one crop a tracklet unless said otherwise."""
    return SiteCrops(
        crops=np.empty((len(pids), 1, 1, 3), np.uint8),
        camids=np.zeros_like(pids) if camids is None else camids,
        tracklets=np.arange(len(pids)) if tracklets is None else tracklets,
        apart=np.array(apart, dtype=np.int64).reshape(-1, 2),
        pids=pids,
    )


def test_well_separated_people_are_found_with_their_scores() -> None:
    feats, pids = people(12)
    camids = np.arange(len(pids)) % 3
    labels = make_pseudo_labels(feats, site(pids, camids), ClusterSettings(k1=10, k2=3), least_clusters=4)
    assert labels.num_clusters == 12
    assert (labels.noise_share, labels.cross_camera_share) == (0.0, 1.0)
    assert (labels.pair_precision, labels.pair_recall) == (1.0, 1.0)


def test_scores_are_not_a_number_where_no_pid_is_known() -> None:
    feats, pids = people(12)
    unknown = replace(site(pids), pids=None)
    labels = make_pseudo_labels(feats, unknown, ClusterSettings(k1=10, k2=3), least_clusters=4)
    assert np.isnan(labels.pair_precision)
    assert np.isnan(labels.pair_recall)


def test_too_strict_a_distance_is_relaxed_and_said() -> None:
    feats, pids = people(12, noise=0.8)
    strict = ClusterSettings(k1=10, k2=3, eps=0.01)
    labels = make_pseudo_labels(feats, site(pids), strict, least_clusters=8)
    assert labels.eps > 0.01
    assert labels.num_clusters >= 8


def test_all_noise_stops_with_advice() -> None:
    lone = normalise(np.eye(20))
    with pytest.raises(TrainingError, match=r"20 crops give 0 clusters .* add crops"):
        make_pseudo_labels(lone, site(np.arange(20)), ClusterSettings(k1=4, k2=1, min_samples=6), least_clusters=2)


def test_tracklets_known_to_differ_are_kept_apart() -> None:
    feats, pids = people(6)
    feats[pids == 1] = feats[pids == 0]
    apart = np.argwhere((pids == 0)[:, None] & (pids == 1)[None, :])
    config = ClusterSettings(of="tracklets", k1=10, k2=3)
    labels = make_pseudo_labels(feats, site(pids, apart=apart), config, least_clusters=2)
    shared = set(labels.labels_N[pids == 0]) & set(labels.labels_N[pids == 1])
    assert shared <= {-1}


def test_crops_of_a_tracklet_share_a_label_even_where_one_of_them_is_far_off() -> None:
    feats, pids = people(12, crops=12)
    tracklets = np.arange(len(pids)) // 3
    feats[0] = -feats[0]
    alone, together = (
        make_pseudo_labels(feats, site(pids, tracklets=tracklets), settings, least_clusters=4).labels_N
        for settings in (ClusterSettings(k1=10, k2=3), ClusterSettings(of="tracklets", k1=4, k2=1, min_samples=2))
    )
    assert alone[0] == -1
    assert together[0] == together[11] != -1


def test_a_camera_that_colours_everybody_does_not_part_them_once_it_is_centred() -> None:
    feats, pids = people(12)
    camids = np.arange(len(pids)) % 2
    tinted = normalise(feats + 2.0 * np.array([-1, 1])[camids, None] * np.eye(32)[0])
    recalls = [
        make_pseudo_labels(
            tinted, site(pids, camids), ClusterSettings(k1=10, k2=3, centre_cameras=centred), least_clusters=4
        ).pair_recall
        for centred in (False, True)
    ]
    assert recalls[0] < 0.5 < recalls[1]
    assert np.abs(centre_cameras(tinted, camids)[camids == 0].mean(axis=0)).max() < 0.1


def test_cross_camera_share_counts_clusters_not_crops() -> None:
    labels, camids = np.array([0, 0, 0, 1, 1, -1]), np.array([1, 1, 2, 1, 1, 2])
    assert cross_camera_share(labels, camids) == 0.5
    assert cross_camera_share(np.array([-1, -1]), np.array([1, 2])) == 0.0


def test_pair_scores_by_hand() -> None:
    # Guessed pairs: 3 in label 0, of which 1 true. True pairs: (0,1) and (2,3): 2, of which 1 guessed.
    precision, recall = pair_scores(np.array([0, 0, 0, -1]), np.array([5, 5, 6, 6]))
    assert (precision, recall) == (1 / 3, 1 / 2)


def test_outliers_guess_nothing() -> None:
    assert pair_scores(np.array([-1, -1]), np.array([5, 5])) == (1.0, 0.0)


def test_neighbouring_clusters_are_the_nearest_ones_without_outliers() -> None:
    angles = np.array([0.0, 0.1, 0.2, 0.25, 1.5, 1.6, 3.0])
    feats = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    near, labels = neighbouring_clusters(feats, np.array([0, 0, 1, 1, 2, 2, -1]), count=2)
    np.testing.assert_array_equal(near, feats[:4])
    assert labels.tolist() == [0, 0, 1, 1]


TRACKLETS = ClusterSettings(of="tracklets", k1=10, k2=3, min_samples=2)


def pairs(*values: tuple[int, int]) -> np.ndarray:
    return np.array(values, dtype=np.int64).reshape(-1, 2)


def test_tracklets_are_joined_through_others() -> None:
    six = site(np.zeros(6, dtype=np.int64))
    assert joined_tracklets(replace(six, together=pairs((0, 4), (4, 2)))).tolist() == [0, 1, 0, 2, 0, 3]
    assert joined_tracklets(six).tolist() == list(range(6))


def test_two_persons_whom_an_operator_joined_are_one() -> None:
    feats, pids = people(8)
    joined = replace(site(pids), together=pairs((0, 10)))
    labels = make_pseudo_labels(feats, joined, TRACKLETS, least_clusters=4).labels_N
    assert labels[0] == labels[10] >= 0
    assert set(labels[:20].tolist()) == {labels[0]}


def test_an_operator_is_right_about_tracklets_that_a_camera_saw_together() -> None:
    feats, pids = people(8)
    joined = replace(site(pids, apart=((0, 1),)), together=pairs((0, 1)))
    labels = make_pseudo_labels(feats, joined, TRACKLETS, least_clusters=4).labels_N
    assert labels[0] == labels[1] >= 0


def test_whoever_is_apart_from_one_is_apart_from_those_joined_to_him() -> None:
    feats, pids = people(8)
    joined = replace(site(pids, apart=((1, 2),)), together=pairs((0, 1)))
    labels = make_pseudo_labels(feats, joined, TRACKLETS, least_clusters=4).labels_N
    assert labels[2] != labels[0]


def test_joined_tracklets_are_a_cluster_even_alone() -> None:
    feats, pids = people(8)
    far = normalise(np.random.default_rng(5).standard_normal((2, 32)))
    lonely = site(np.concatenate([pids, [100, 101]]))
    both = np.concatenate([feats, far])
    free, joined = (
        make_pseudo_labels(both, chosen, TRACKLETS, least_clusters=4)
        for chosen in (lonely, replace(lonely, together=pairs((80, 81))))
    )
    assert free.labels_N[80:].tolist() == [-1, -1]
    assert joined.labels_N[80] == joined.labels_N[81] == free.num_clusters
