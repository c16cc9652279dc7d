"""Bytes that leave a camera: Osprey's embeddings against H.264 video of the same frames.

The edge agent runs as it does in the field; a local server acknowledges and counts every message. Then the same frames
are encoded by x264. The headline figures are of the simulated site; `--video` adds real ones, under their own names.
Embeddings grow with the number of people in view, video with its size, motion and noise: see the details for both.

A refresh adds crops, which go up on request, and weights, which come down: so many crops of each camera (`--crops`), as
they lie in the edge's ring, and all files that an edge takes of a release, once in `adaptation.triggers.every_days`.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from benchmarks.harness import RESULTS, Outcome, flags, publish
from benchmarks.instruments.bandwidth_plot import plot_bandwidth
from benchmarks.instruments.counting_server import CountingServer
from benchmarks.instruments.h264 import H264Settings, h264_size
from benchmarks.instruments.ring_answers import mean_answer_bytes
from edge.agent import Agent
from edge.frames import FrameSource
from edge.settings import SHIPPED_RELEASE, AgentSettings
from edge.sources.registry import open_source
from edge.spool import SpoolSettings
from reid.errors import OspreyError
from reid.release import ALIGNMENT_FILE, FILES, MANIFEST_FILE, OPTIONAL_FILES, TRAINABLE_FILE, load_release
from reid.types import UInt8Array
from server.adaptation.settings import TriggerSettings

NAME = "bandwidth"
_SITE = "sim:?seed=11&people=12&cameras=3&camera=c{number}&duration_s={duration_s}"
_START_US = 1_700_000_000_000_000


@dataclass(frozen=True, kw_only=True)
class CameraBytes:
    """What one camera would send.

    Attributes:
        source: Its name.
        num_frames: Frames that were read.
        rate_hz: Frames a second.
        num_observations: Embeddings that were sent.
        embedding_bytes: All messages to the server, without gRPC's framing.
        h264_bytes: All packets of the encode, without a container.
        crop_bytes: Mean size of the message that sends one crop.
    """

    source: str
    num_frames: int
    rate_hz: float
    num_observations: int
    embedding_bytes: int
    h264_bytes: int
    crop_bytes: float


@dataclass(frozen=True, kw_only=True)
class RefreshBytes:
    """What refreshes add to a camera.

    Attributes:
        num_crops: Asked for in one.
        weight_bytes: Files of a release that an edge takes.
        hours: Between two.
    """

    num_crops: int
    weight_bytes: int
    hours: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish and plot."""
    chosen = _parse(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    settings = H264Settings(preset=chosen.preset, crf=chosen.crf)
    site = [measure(uri, name, "truth", chosen.release, settings) for name, uri in _site_uris(quick=chosen.quick)]
    videos = [measure(str(path), path.stem, chosen.detector, chosen.release, settings) for path in chosen.video]
    if not chosen.json:
        _show([*site, *videos])
    refresh = RefreshBytes(
        num_crops=chosen.crops, weight_bytes=_weight_bytes(chosen.release), hours=24 * TriggerSettings().every_days
    )
    figures = per_hour(site, refresh)
    for video in videos:
        figures.update({f"{_word(video.source)}_{key}": value for key, value in per_hour([video], refresh).items()})
    details = {
        "h264": asdict(settings),
        "release": str(load_release(chosen.release).ref),
        "detector": {"site": "true boxes with jitter", "videos": Path(chosen.detector).name},
        "refresh": asdict(refresh),
        "cameras": [asdict(camera) for camera in (*site, *videos)],
    }
    publish(NAME, Outcome(figures=figures, details=details), quick=chosen.quick)
    if not chosen.quick:
        plot_bandwidth(RESULTS / f"{NAME}.png", {each.source: per_hour([each], refresh) for each in (*site, *videos)})


def measure(uri: str, name: str, detector: str, release: Path, settings: H264Settings) -> CameraBytes:
    """Run the edge on one source, then encode the same source.

    Raises:
        OspreyError: The source, the detector or the release cannot be used, or not everything was acknowledged.
    """
    with tempfile.TemporaryDirectory() as folder, closing(CountingServer()) as server:
        agent = Agent(
            AgentSettings(
                edge_id="bench",
                cameras={"c1": uri},
                server=server.address,
                release=release,
                detector=detector,
                once=True,
                spool=SpoolSettings(path=Path(folder) / "spool.sqlite"),
            )
        )
        with closing(agent):
            agent.run(threading.Event())
            report = agent.report()
        crop_bytes = mean_answer_bytes(Path(folder) / "spool.sqlite")
    if report.remaining or not report.acknowledged:
        raise OspreyError(f"{name}: {report.acknowledged} observations acknowledged, {report.remaining} not")
    with closing(open_source(uri, start_time_us=_START_US)) as source:
        rate_hz = source.frame_rate_hz
        video = h264_size(_images(source), rate_hz=rate_hz, settings=settings)
    return CameraBytes(
        source=name,
        num_frames=video.num_frames,
        rate_hz=rate_hz,
        num_observations=server.num_observations,
        embedding_bytes=server.num_bytes,
        h264_bytes=video.num_bytes,
        crop_bytes=crop_bytes,
    )


def per_hour(cameras: Sequence[CameraBytes], refresh: RefreshBytes) -> dict[str, float]:
    """Mean bytes of one camera in an hour, both ways, and how many times less ours are, without and with refreshes."""
    hours = sum(camera.num_frames / camera.rate_hz for camera in cameras) / 3600
    embeddings = sum(camera.embedding_bytes for camera in cameras) / hours
    video = sum(camera.h264_bytes for camera in cameras) / hours
    crops = refresh.num_crops * sum(camera.crop_bytes for camera in cameras) / len(cameras) / refresh.hours
    weights = refresh.weight_bytes / refresh.hours
    return {
        "embedding_bytes_per_camera_hour": embeddings,
        "crop_bytes_per_camera_hour": crops,
        "weight_bytes_per_camera_hour": weights,
        "h264_bytes_per_camera_hour": video,
        "ratio": video / embeddings,
        "ratio_with_refreshes": video / (embeddings + crops + weights),
    }


def _weight_bytes(release: Path) -> int:
    """Files that an edge takes of a release."""
    kept_back = (TRAINABLE_FILE, ALIGNMENT_FILE)
    names = (*FILES, MANIFEST_FILE, *(name for name in OPTIONAL_FILES if name not in kept_back))
    return sum((release / name).stat().st_size for name in names if (release / name).is_file())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = flags(NAME, "Bytes of embeddings against bytes of H.264 for the same frames.")
    parser.add_argument("--video", type=Path, action="append", default=[], help="also measure this file; repeatable")
    parser.add_argument("--detector", default="hog", help="for the videos: hog or FILE.onnx")
    parser.add_argument("--release", type=Path, default=SHIPPED_RELEASE, help="folder of the release")
    parser.add_argument("--crops", type=int, default=1000, help="asked of each camera in a refresh")
    parser.add_argument("--preset", default="medium", help="of x264")
    parser.add_argument("--crf", type=int, default=23, help="of x264")
    return parser.parse_args(arguments)


def _site_uris(*, quick: bool) -> list[tuple[str, str]]:
    numbers, duration_s = ((1,), 15) if quick else ((1, 2, 3), 60)
    return [(f"site_c{number}", _SITE.format(number=number, duration_s=duration_s)) for number in numbers]


def _images(source: FrameSource) -> Iterator[UInt8Array]:
    while frame := source.read():
        yield frame.image


def _word(name: str) -> str:
    """A name as the start of a figure's key."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _show(cameras: Sequence[CameraBytes]) -> None:
    print(f"{'camera':40} {'frames':>7} {'sent':>6} {'MB/h embeddings':>16} {'MB/h H.264':>11} {'ratio':>7}")
    for camera in cameras:
        hours = camera.num_frames / camera.rate_hz / 3600
        print(
            f"{camera.source:40} {camera.num_frames:7} {camera.num_observations:6} "
            f"{camera.embedding_bytes / hours / 1e6:16.2f} {camera.h264_bytes / hours / 1e6:11.1f} "
            f"{camera.h264_bytes / camera.embedding_bytes:7.1f}"
        )


if __name__ == "__main__":
    main()
