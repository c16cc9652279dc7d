"""What the demo's frames would have cost as video: every camera encoded once more, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial

import cv2

from benchmarks.instruments.h264 import H264Settings, h264_size
from simulation.site import SimulatedSite, SiteConfig

SETTINGS = H264Settings(preset="veryfast")
"""Faster than the default, and what a camera's own encoder is nearer to."""


def video_bytes(config: SiteConfig) -> int:
    """Bytes of H.264 for all cameras of a site, from a real encode of every frame."""
    camids = SimulatedSite(config).camids
    # Spawned, not forked: this process has gRPC threads.
    context = multiprocessing.get_context("spawn")
    # Left by an exception, this pool ends its processes; the one of concurrent.futures would wait for them.
    with context.Pool(min(len(camids), os.cpu_count() or 1)) as pool:
        return sum(pool.map(partial(camera_bytes, config), camids))


def camera_bytes(config: SiteConfig, camid: str) -> int:
    """Bytes of H.264 for one camera."""
    cv2.setNumThreads(1)
    site = SimulatedSite(config)
    frames = (site.frame(camid, index).image for index in range(site.num_frames))
    return h264_size(frames, rate_hz=config.fps_hz, settings=SETTINGS).num_bytes
