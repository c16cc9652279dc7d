"""Promise: a release is changed between two frames; no frame is lost, and every embedding says who made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fakes_server import FakeServer
from processes import spawn, wait_until
from releases import write_permuted_release

from edge.cli import main
from protos import ingest_pb2
from reid.embedder import OnnxEmbedder
from reid.embedding import unpack
from reid.release import Release, load_release
from reid.types import FloatArray

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

SHIPPED = Path(__file__).parents[2] / "models" / "osnet_x0_25_default"
NUM_SWAPS = 10
READ_AHEAD = 5
"""Frames of a file that were read when the agent is stopped, at most: four in its queue, one on the way there."""
LEAST_COSINE = 0.98
"""Of a stored embedding, in halves, to that of its crop, which was a JPEG in between."""
_CONFIG = """
server = "{server}"
release = "{release}"
detector = "{detector}"
edge_id = "e1"
num_threads = 1

[cameras]
c1 = "{camera}"

[spool]
path = "{folder}/edge.spool"

[crops]
folder = "{folder}/crops"

[releases]
keep = 2
probation_batches = 4
probation_s = 3

[metrics]
listen = ""
"""


@pytest.fixture
def releases(tmp_path: Path) -> list[Release]:
    """The shipped release, and as many newer ones with other weights."""
    shipped = load_release(SHIPPED)
    newer = [write_permuted_release(shipped, tmp_path / f"v{n}", seed=n, version=f"9.{n}") for n in range(NUM_SWAPS)]
    return [shipped, *newer]


@pytest.fixture
def simulated() -> tuple[str, str]:
    """A camera of the simulated site, and its detector."""
    return "sim:?seed=3&people=6&cameras=1&camera=c1&duration_s=3600&width_px=320&height_px=240", "truth"


@pytest.fixture
def real_video(data_root: Path, tmp_path: Path) -> tuple[str, str]:
    """People who walk by one after another, again and again, and a detector."""
    path = tmp_path / "people.mp4"
    repeat_video(data_root / "videos" / "intel_one-by-one-person-detection.mp4", path, times=8)
    return str(path), str(data_root / "detectors_onnx" / "yolox_nano_416x416.onnx")


@dataclass
class Site:
    """An agent that runs, and the server that stores what it sends."""

    server: FakeServer
    config: Path
    report_file: Path
    agent: Any

    def install(self, release: Release, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """Run `osprey-edge release install` and wait for its outcome."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["release", "install", str(release.folder), "--config", str(self.config), "--json"])
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        return answer

    def stop(self) -> dict[str, Any]:
        """End the agent in order; its report."""
        self.agent.terminate()
        assert self.agent.wait(60) == 0
        report: dict[str, Any] = json.loads(self.report_file.read_text().splitlines()[-1])
        return report

    def sent(self) -> dict[tuple[str, int], list[ingest_pb2.Observation]]:
        """What the server has stored, by space and tracklet."""
        rows: dict[tuple[str, int], list[ingest_pb2.Observation]] = {}
        for batch in self.server.batches:
            for observation in batch.observations:
                rows.setdefault((batch.space, observation.tracklet_id), []).append(observation)
        return rows


@pytest.fixture(params=["simulated", pytest.param("real_video", marks=pytest.mark.data)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    camera, detector = request.getfixturevalue(request.param)
    server, config, report = FakeServer(), tmp_path / "edge.toml", tmp_path / "report"
    places = {"server": server.address, "release": SHIPPED, "folder": tmp_path}
    config.write_text(_CONFIG.format(camera=camera, detector=detector, **places))
    agent = spawn("edge", "run", "--config", config, "--json", log=tmp_path / "edge.log", out=report)
    wait_until(lambda: bool(server.batches), "the agent sends")
    yield Site(server, config, report, agent)
    agent.kill()
    server.stop()


def test_ten_swaps_lose_no_frame_and_name_every_embedding_rightly(
    site: Site, releases: list[Release], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for release in releases[1:]:
        assert site.install(release, capsys)["verdict"] == "confirmed"
        wait_until(lambda space=release.ref.space: site.server.batches[-1].space == space, "it embeds")  # type: ignore[misc]
    report = site.stop()
    check_nothing_lost(report, site.server)
    spaces = {release.ref.space for release in releases}
    assert {space for space, _ in site.sent()} == spaces
    assert check_by_embedding_again(site, releases, tmp_path / "crops" / "c1") == spaces


def repeat_video(source: Path, path: Path, *, times: int) -> None:
    with av.open(str(path), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as video:
                stream = stream or out.add_stream_from_template(video.streams.video[0])
                end = offset
                for packet in video.demux(video=0):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = stream
                    out.mux(packet)
                offset = end


def check_nothing_lost(report: dict[str, Any], server: FakeServer) -> None:
    camera = report["cameras"]["c1"]
    assert camera["dropped"] <= READ_AHEAD
    assert (camera["frames_skipped"], camera["faults"], camera["failure"]) == (0, {}, "")
    assert (report["lost"], report["spool_dropped"], report["rejected"], report["faults"]) == (0, 0, 0, {})
    assert (report["refresh"]["num_swaps"], report["refresh"]["phase"]) == (NUM_SWAPS, "idle")
    assert report["spooled"] == camera["selected"] == server.num_stored + report["remaining"]


def check_by_embedding_again(site: Site, releases: list[Release], crops: Path) -> set[str]:
    """Embed the kept crop of each tracklet by all releases: only the one whose space is stored gives what is stored.

    Returns:
        Spaces of which there was a crop.
    """
    embedders = {release.ref.space: OnnxEmbedder(release, num_threads=1) for release in releases}
    checked: set[str] = set()
    for (space, tracklet_id), observations in site.sent().items():
        crop = cv2.imread(str(crops / f"{tracklet_id}.jpg"))
        if crop is None:
            continue
        stored = np.stack([unpack(observation.embedding, dim=512) for observation in observations])
        cosines = {name: best_cosine(stored, embedder.embed(crop[None])) for name, embedder in embedders.items()}
        assert cosines.pop(space) > LEAST_COSINE > max(cosines.values())
        checked.add(space)
    return checked


def best_cosine(stored_ND: FloatArray, embedding_1D: FloatArray) -> float:
    return float(np.max(stored_ND @ embedding_1D[0]))
