"""Market-1501's training part replayed as six cameras: times from the frame numbers in its file names.

The 251 test identities play; the threshold is calibrated on the 500 others. The six recordings ("sequences") are taken
for six days. A tracklet is one identity in one camera without a gap of more than `_MOST_GAP_S`; labels make it, as a
tracker without errors would. The data set keeps about one crop in 25 frames, which is what an edge sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.instruments.identity.scene import Scene, Similarity
from reid.embedder import OnnxEmbedder
from reid.release import Release
from reid.types import FloatArray
from train.calibrate import calibrate
from train.crop_cache import load_crops
from train.datasets.market1501 import read_500_251
from train.datasets.samples import ReidSample, camids_of, pids_of
from train.evaluate import embed_all

_FRAME_RATE_HZ = 25
_DAY_US = 86_400_000_000
_MOST_GAP_S = 4.0
_WINDOW_S = 7 * 86_400.0
"""People come on several of the six days, in the same clothes."""
_QUALITY = 0.7
"""Of every crop: the data set does not say how sure its detector was."""


def read_market(root: Path, release: Release, cache: Path) -> Scene:
    """The 251 test identities as cameras send them, the release calibrated on the 500 others.

    Args:
        root: Folder of the training part.
        release: Embeds; must not have been trained on these identities.
        cache: Folder of crops and of earlier answers; made when missing.
    """
    split = read_500_251(root)
    cache = cache.expanduser()
    others_ND, others = _embedded(split.train, release, cache)
    feats_ND, samples = _embedded(split.query + split.gallery, release, cache)
    threshold = calibrate(others_ND, others).tracklets.similarity
    return _scene(feats_ND, samples, Similarity(release.manifest.space, threshold))


def _embedded(samples: Sequence[ReidSample], release: Release, cache: Path) -> tuple[FloatArray, list[ReidSample]]:
    """Embeddings of crops, from the cache if they were made before."""
    key = hashlib.sha256(" ".join([release.manifest.space, *(sample.path.name for sample in samples)]).encode())
    path = cache / f"identity-market-{key.hexdigest()[:16]}.npy"
    crops = load_crops(samples, cache)
    if not path.is_file():
        np.save(path, embed_all(OnnxEmbedder(release, num_threads=1), crops.crops))
    return np.load(path), list(crops.samples)


def _scene(feats_ND: FloatArray, samples: Sequence[ReidSample], similarity: Similarity) -> Scene:
    times_us = np.array([_time_us(sample) for sample in samples], dtype=np.int64)
    order = np.lexsort((camids_of(samples), pids_of(samples), times_us))
    samples = [samples[row] for row in order]
    times_us, pids, cameras = times_us[order], pids_of(samples), camids_of(samples)
    tracklet_ids = np.empty(len(samples), dtype=np.int64)
    is_last = np.ones(len(samples), dtype=np.bool_)
    latest: dict[tuple[int, int], int] = {}  # row of the latest crop of an identity in a camera
    for row, name in enumerate(zip(pids.tolist(), cameras.tolist(), strict=True)):
        before = latest.get(name)
        goes_on = before is not None and times_us[row] - times_us[before] <= _MOST_GAP_S * 1e6
        tracklet_ids[row] = tracklet_ids[before] if goes_on else row + 1
        if goes_on:
            is_last[before] = False
        latest[name] = row
    return Scene(
        name="market1501",
        similarity=similarity,
        window_s=_WINDOW_S,
        cameras_N=cameras,
        tracklet_ids_N=tracklet_ids,
        times_us_N=times_us,
        qualities_N=np.full(len(samples), _QUALITY, dtype=np.float32),
        is_last_N=is_last,
        embeddings_ND=feats_ND[order],
        pids_N=pids,
    )


def _time_us(sample: ReidSample) -> int:
    return sample.sequence * _DAY_US + sample.frame * 1_000_000 // _FRAME_RATE_HZ
