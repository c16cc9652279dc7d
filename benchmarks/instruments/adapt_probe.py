"""One measurement of `benchmarks.adapt_epoch`, in a process of its own: the allocator's settings are the process's.

    python -m benchmarks.instruments.adapt_probe ours|published ARCHITECTURE CROPS.npy FEATS.npy NUM_STEPS

`published` is how the methods' authors run an epoch: eager fp32 in NCHW order, a float batch normalised on the host,
and N x N distances. It is spared the decoding of pictures that published loaders repeat in every epoch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional

from benchmarks.instruments.dense_jaccard import dense_jaccard
from reid.types import FloatArray, UInt8Array
from train.augment import AugmentSettings, augment
from train.embed import embed_crops
from train.images import images_of
from train.learner import Learner
from train.methods.cluster_contrast import ClusterContrast, ClusterContrastConfig
from train.methods.method import Batch
from train.optimiser import OptimiserSettings
from train.osnet import OSNet, build_osnet
from train.pseudo_labels import ClusterSettings, make_pseudo_labels
from train.site import SiteCrops

BATCH = 64
NUM_CLUSTERS = 500
_EPS = 0.5
_CPU = torch.device("cpu")
_AUGMENT = AugmentSettings(brightness=0, contrast=0, colour_cast=0)


def made_batch(feats_BD: torch.Tensor, step: int) -> Batch:
    """A batch of 16 x 4 with labels that stand for clusters: what is timed does not depend on which."""
    labels = (torch.arange(BATCH // 4).repeat_interleave(4) + step * BATCH // 4) % NUM_CLUSTERS
    return Batch(feats_BD=feats_BD, labels_B=labels, camids_B=torch.zeros(BATCH, dtype=torch.int64))


def new_method() -> ClusterContrast:
    """Cluster-Contrast with random prototypes."""
    method = ClusterContrast(ClusterContrastConfig())
    method.protos_KD = functional.normalize(torch.randn(NUM_CLUSTERS, 512), dim=1)
    return method


def made_site(num_crops: int) -> SiteCrops:
    """A site of one camera that knows nothing of its crops."""
    return SiteCrops(
        crops=np.empty((num_crops, 0, 0, 3), dtype=np.uint8),
        camids=np.zeros(num_crops, dtype=np.int64),
        tracklets=np.arange(num_crops),
        apart=np.empty((0, 2), dtype=np.int64),
    )


def ours(network: OSNet, crops: UInt8Array, feats: FloatArray, num_steps: int) -> dict[str, float]:
    """Seconds per crop embedded, of clustering, and per step."""
    learner, method = Learner(network, OptimiserSettings(kind="adam")), new_method()

    def step(number: int) -> None:
        changed = augment(crops[:BATCH], _AUGMENT, np.random.default_rng(number))
        batch = made_batch(functional.normalize(learner.features(changed), dim=1), number)
        learner.learn(method.loss(batch, progress=0.5), progress=0.5, where="benchmark")
        method.update(batch)

    site = made_site(len(feats))
    return _time(
        embed=lambda: embed_crops(network, crops),
        num_crops=len(crops),
        cluster=lambda: make_pseudo_labels(feats, site, ClusterSettings(eps=_EPS), least_clusters=2),
        step=step,
        num_steps=num_steps,
        network=network,
    )


def published(network: OSNet, crops: UInt8Array, feats: FloatArray, num_steps: int) -> dict[str, float]:
    """The same, the published way."""
    optimiser, method = torch.optim.Adam(network.parameters(), lr=3.5e-4, weight_decay=5e-4), new_method()

    def images(batch: UInt8Array) -> torch.Tensor:
        return images_of(batch, _CPU).contiguous()

    def embed() -> None:
        network.eval()
        with torch.no_grad():
            for start in range(0, len(crops), BATCH):
                functional.normalize(network(images(crops[start : start + BATCH])), dim=1)

    def step(number: int) -> None:
        changed = augment(crops[:BATCH], _AUGMENT, np.random.default_rng(number))
        batch = made_batch(functional.normalize(network(images(changed)), dim=1), number)
        loss = method.loss(batch, progress=0.5)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        method.update(batch)

    def cluster() -> None:
        DBSCAN(eps=_EPS, min_samples=4, metric="precomputed").fit_predict(dense_jaccard(feats))

    return _time(embed=embed, num_crops=len(crops), cluster=cluster, step=step, num_steps=num_steps, network=network)


def _time(
    *,
    embed: Callable[[], object],
    num_crops: int,
    cluster: Callable[[], object],
    step: Callable[[int], None],
    num_steps: int,
    network: OSNet,
) -> dict[str, float]:
    embed()
    started_s = time.perf_counter()
    embed()
    embedded_s = time.perf_counter()
    cluster()
    clustered_s = time.perf_counter()
    network.train()
    step(0)
    stepped = []
    for number in range(num_steps):
        begun_s = time.perf_counter()
        step(number + 1)
        stepped.append(time.perf_counter() - begun_s)
    return {
        "embed_s_per_crop": (embedded_s - started_s) / num_crops,
        "cluster_s": clustered_s - embedded_s,
        "step_s": float(np.median(stepped)),
    }


def main() -> None:
    """Measure once and print the outcome."""
    kind, architecture, crops_path, feats_path, num_steps = sys.argv[1:]
    torch.manual_seed(0)
    measure = ours if kind == "ours" else published
    crops, feats = np.load(Path(crops_path)), np.load(Path(feats_path))
    if kind == "ours":
        make_pseudo_labels(feats[:500], made_site(500), ClusterSettings(eps=_EPS), least_clusters=2)  # compiles
    print(json.dumps(measure(build_osnet(architecture), crops, feats, int(num_steps))))


if __name__ == "__main__":
    main()
