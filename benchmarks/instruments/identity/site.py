"""The simulated site as its edges send it: rendered, tracked, embedded and selected by the edge's own pipeline, once.

Detections are the true boxes with an ordinary detector's errors, as in the demo.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.instruments.identity.scene import Scene, similarity_of
from demo.truth import pid_of
from edge.detectors import open_detector
from edge.engine import Engine
from edge.frames import Frame
from edge.keyframes import KeyframePolicy, KeyframeSettings
from edge.pipeline import CameraPipeline
from edge.switches import SwitchGuard, SwitchSettings
from edge.tracking import PersonTracker
from reid.embedder import OnnxEmbedder
from reid.release import Release
from reid.types import AnyArray, Observation
from simulation.detections import noisy_detections
from simulation.site import SimulatedSite, SiteConfig

_WINDOW_S = 12 * 3600.0
_START_US = 1_767_603_600_000_000
"""Of the first frame; any moment would do."""


def read_site(config: SiteConfig, release: Release, cache: Path) -> Scene:
    """What the cameras of a site send, from the cache if it was made before.

    Args:
        config: The site.
        release: Embeds.
        cache: Folder of earlier answers; made when missing.
    """
    key = hashlib.sha256(f"{config!r} {release.manifest.space}".encode()).hexdigest()[:16]
    path = cache.expanduser() / f"identity-site-{key}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_recorded(config, release))  # type: ignore[arg-type]
    with np.load(path) as arrays:
        return Scene(name=f"site_{config.difficulty}", similarity=similarity_of(release), window_s=_WINDOW_S, **arrays)


def _recorded(config: SiteConfig, release: Release) -> dict[str, AnyArray]:
    site = SimulatedSite(config)
    engine = Engine(OnnxEmbedder(release, num_threads=1))
    next_id = itertools.count(1).__next__  # all cameras share one count, as those of one agent do
    sent: list[tuple[int, int, Observation]] = []  # camera, pid, observation
    for camera, camid in enumerate(site.camids):
        for observation in _observations(site, camid, engine, next_id):
            index = round((observation.time_us - _START_US) * config.fps_hz / 1e6)
            sent.append((camera, pid_of(observation.box, site.people_in(camid, index)), observation))
    sent.sort(key=lambda item: (item[2].time_us, item[0], item[2].tracklet_id))
    return {
        "cameras_N": np.array([camera for camera, _, _ in sent], dtype=np.int64),
        "tracklet_ids_N": np.array([observation.tracklet_id for _, _, observation in sent], dtype=np.int64),
        "times_us_N": np.array([observation.time_us for _, _, observation in sent], dtype=np.int64),
        "qualities_N": np.array([observation.quality for _, _, observation in sent], dtype=np.float32),
        "is_last_N": np.array([observation.is_last for _, _, observation in sent], dtype=np.bool_),
        "embeddings_ND": np.stack([observation.embedding for _, _, observation in sent]),
        "pids_N": np.array([pid for _, pid, _ in sent], dtype=np.int64),
    }


def _observations(site: SimulatedSite, camid: str, engine: Engine, next_id: Callable[[], int]) -> Iterator[Observation]:
    """What one camera's edge sends."""
    pipeline = CameraPipeline(
        camid,
        detector=open_detector("truth"),
        open_tracker=lambda: PersonTracker(site.config.fps_hz),
        engine=engine,
        switches=SwitchGuard(SwitchSettings()),
        policy=KeyframePolicy(KeyframeSettings()),
        next_tracklet_id=next_id,
    )
    for index in range(site.num_frames):
        rendered = site.frame(camid, index)
        truth = noisy_detections(rendered.people, site.config, camid=camid, index=index)
        frame = Frame(rendered.image, _START_US + round(index * 1e6 / site.config.fps_hz), index, truth)
        yield from (outgoing.observation for outgoing in pipeline.process(frame))
    yield from (outgoing.observation for outgoing in pipeline.finish())
