"""People to search for, in the spaces of two releases: scores within a space and across both, and answers that flip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.metrics import Labels, score_embeddings
from reid.types import AnyArray, FloatArray
from train.calibrate import pool_tracklets
from train.checkpoint import load_osnet
from train.crop_cache import CachedCrops
from train.embed import embed_crops
from train.evaluate import labels_of
from train.start import read_start

Gallery = tuple[FloatArray, Labels]


@dataclass(frozen=True)
class LabelledPeople:
    """Labelled crops: some ask, the rest is searched."""

    query: CachedCrops
    gallery: CachedCrops


@dataclass(frozen=True)
class EmbeddedPeople:
    """The same people in one space.

    Attributes:
        query: Crops that ask, with their labels.
        gallery: Crops that are searched.
        tracklets: Means of the tracklets of both, as a server keeps them; each asks among the others.
    """

    query: Gallery
    gallery: Gallery
    tracklets: Gallery


def embed_people(people: LabelledPeople, release: Path) -> EmbeddedPeople:
    """Embed the test with a release, in fp32."""
    network = load_osnet(read_start(release).checkpoint)
    query, gallery = (embed_crops(network, part.crops, precision="fp32") for part in (people.query, people.gallery))
    samples = people.query.samples + people.gallery.samples
    return EmbeddedPeople(
        query=(query, labels_of(people.query)),
        gallery=(gallery, labels_of(people.gallery)),
        tracklets=pool_tracklets(np.concatenate([query, gallery]), samples),
    )


def mean_average_precision(asks: Gallery, searched: Gallery) -> float:
    """MAP in percent."""
    return 100.0 * score_embeddings(asks[0], searched[0], asks[1], searched[1]).mAP


def first_answers(asks: Gallery, searched: Gallery) -> AnyArray:
    """(Q,) bool: whether the most similar crop of another view shows who was asked for."""
    (query_QD, query), (gallery_GD, gallery) = asks, searched
    similarity_QG = query_QD @ gallery_GD.T
    same_pid = query.pids[:, None] == gallery.pids[None, :]
    similarity_QG[same_pid & (query.camids[:, None] == gallery.camids[None, :])] = -2.0
    return np.asarray(same_pid[np.arange(len(same_pid)), similarity_QG.argmax(axis=1)])


def negative_flip_rate(before: AnyArray, after: AnyArray) -> float:
    """Share of queries that were answered rightly before and are not any more."""
    return float(np.mean(before & ~after))
