"""Promise: whatever is killed in a roll-out, every edge ends on one valid release, and no embedding is mislabelled."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import ServerProcess, spawn, wait_until
from releases import write_child_release

from edge.ring import CropRing, KeptCrop, RingSettings
from edge.ring_key import secret_beside
from edge.spool import Spool
from reid.embedder import OnnxEmbedder
from reid.embedding import unpack
from reid.preprocess import decode_image
from reid.release import Release, load_release
from server.errors import NotFoundError
from server.release_client import ReleaseClient
from server.releases.view import RolloutView

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

NUM_EDGES = 2
NUM_KILLS = int(os.environ.get("OSPREY_TEST_KILLS", "6"))
"""Twenty take four minutes."""
LONGEST_WAIT_S = 15.0
MOST_CROPS = 5000
"""More than an edge sends in the time of a test."""
NEW = "tiny-2-1"
_QUICK = {
    "OSPREY_SERVER_ROLLOUT__SOAK_S": "2",
    "OSPREY_SERVER_ROLLOUT__BASELINE_S": "1",
    "OSPREY_SERVER_ROLLOUT__TICK_S": "0.2",
    "OSPREY_SERVER_METRICS__LISTEN": "",
    # On a busy machine two seconds tell nothing of an edge's health; what halts is tested without processes.
    "OSPREY_SERVER_ROLLOUT__HEALTH__MIN_EMBEDDINGS": "100000",
    "OSPREY_SERVER_ROLLOUT__HEALTH__MAX_EMBED_RATIO": "1000",
    "OSPREY_SERVER_ROLLOUT__HEALTH__MAX_COHERENCE_DROP": "2",
    "OSPREY_SERVER_ROLLOUT__HEALTH__MAX_COHERENCE": "1",
}
_CONFIG = """
server = "{server}"
release = "{release}"
detector = "truth"
edge_id = "{edge_id}"
num_threads = 1

[cameras]
c1 = "sim:?seed=3&people=4&cameras=1&camera=c1&duration_s=3600&width_px=320&height_px=240&fps_hz=4&starts_at_s={now}"

[spool]
path = "{folder}/{edge_id}.spool"

[releases]
probation_batches = 2
probation_s = 2

[fleet]
root = "{root}"
status_s = 0.5

[metrics]
listen = ""
"""


class AttendingEdge:
    """`osprey-edge run` on a camera of the simulated site."""

    def __init__(self, folder: Path, number: int, server: ServerProcess, release: Release) -> None:
        self._config = folder / f"e{number}.toml"
        self._log = folder / f"e{number}.log"
        self.spool = folder / f"e{number}.spool"
        self.state = folder / f"e{number}.spool.releases" / "state.json"
        self._config.write_text(
            _CONFIG.format(
                server=server.address,
                release=release.folder,
                edge_id=f"e{number}",
                folder=folder,
                root=server.data / "repository" / "metadata" / "1.root.json",
                now=time.time(),
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = spawn("edge", "run", "--config", self._config, log=self._log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def confirmed(self) -> str:
        """Key of what it starts with; empty while that is the configured release."""
        return str(json.loads(self.state.read_text())["confirmed"]) if self.state.is_file() else ""


@pytest.fixture
def site(
    tmp_path: Path, server_env: None, server: ServerProcess, tiny_release: Release
) -> Iterator[tuple[ServerProcess, list[AttendingEdge]]]:
    edges = [AttendingEdge(tmp_path, number, server, tiny_release) for number in range(NUM_EDGES)]
    for edge in edges:
        edge.start()
    candidate = write_child_release(tiny_release, tmp_path / "candidate")
    with ReleaseClient(server.address) as client:
        client.import_release(candidate, force=True)
    yield server, edges
    for edge in edges:
        edge.kill()


@pytest.fixture
def server_env(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _QUICK.items():
        monkeypatch.setenv(name, value)


def look(server: ServerProcess) -> RolloutView:
    with ReleaseClient(server.address) as client:
        return client.get_rollout()


def start_rollout(server: ServerProcess) -> None:
    with ReleaseClient(server.address) as client:
        client.start_rollout(NEW, force=False)


def watch_rollout(server: ServerProcess) -> list[RolloutView]:
    """What was seen on the way to its good end."""
    views = [look(server)]

    def is_done() -> bool:
        views.append(look(server))
        assert views[-1].state in ("running", "done"), views[-1]
        return views[-1].state == "done"

    wait_until(is_done, "all edges have it")
    return views


def served(server: ServerProcess) -> str:
    with ReleaseClient(server.address) as client:
        return next(release.ref.space for release in client.list_releases() if release.is_served)


def spaces_of_tracklets(server: ServerProcess) -> list[tuple[str, int]]:
    """Space and size of what was stored, a row for each tracklet."""
    with sqlite3.connect(server.data / "records.db") as records:
        return records.execute("SELECT space, length(embedding_sum) FROM tracklets ORDER BY tracklet_key").fetchall()


def test_edges_get_a_release_ring_by_ring_and_the_gallery_follows(
    site: tuple[ServerProcess, list[AttendingEdge]],
) -> None:
    server, edges = site
    start_rollout(server)
    views = watch_rollout(server)
    assert all([edge.state for edge in view.edges].count("asked") <= 1 for view in views)
    assert "installed" in [edge.state for view in views if view.ring < 2 for edge in view.edges]
    wait_until(lambda: served(server) == NEW, "the gallery has moved")
    assert all(edge.confirmed().startswith(NEW) for edge in edges)
    wait_until(lambda: NEW in {space for space, _ in spaces_of_tracklets(server)}, "new embeddings come")


@pytest.mark.timeout(600)
def test_random_kills_leave_every_edge_on_one_valid_release(
    site: tuple[ServerProcess, list[AttendingEdge]], tmp_path: Path, rng: np.random.Generator
) -> None:
    server, edges = site
    newest, ends = load_release(tmp_path / "candidate"), {"done": 0, "aborted": 0}
    for number in range(NUM_KILLS):
        newest = keep_rolling(server, newest, tmp_path / f"candidate{number}", ends)
        let_it_go_on(server, num_changes=int(rng.integers(4)))
        time.sleep(float(rng.uniform(0.0, 1.5)))
        victim = (server, *edges)[rng.integers(NUM_EDGES + 1)]
        victim.kill()
        victim.start()
    wait_until(lambda: look(server).state in ("done", "aborted"), "the roll-out ends")
    view = look(server)
    wanted = (view.release if view.state == "done" else view.previous).space
    wait_until(lambda: all(edge.runs and edge.runs.space == wanted for edge in look(server).edges), "all run one")
    wait_until(lambda: all(edge.confirmed().startswith(wanted) for edge in edges), "all start with it")
    wait_until(lambda: served(server) == wanted, "it is served")
    assert NUM_KILLS < 10 or sum(ends.values()) >= 1  # so many do not just stand still
    for process in (*edges, server):
        process.kill()
    num_compared = compare_labels(server, edges)
    assert num_compared > 20
    assert len({space for space, _ in spaces_of_tracklets(server)}) > 1


def compare_labels(server: ServerProcess, edges: list[AttendingEdge]) -> int:
    """Whether each stored embedding is what the release of its space makes of the crop that its edge kept of it.

    Returns:
        How many were compared.
    """
    embedders = {
        folder.name: OnnxEmbedder(load_release(folder), num_threads=1)
        for folder in (server.data / "releases").iterdir()
        if (folder / "manifest.json").is_file()
    }
    num_compared = 0
    for number, edge in enumerate(edges):
        stored = stored_embeddings(server, f"e{number}")
        for seq, jpeg in kept_crops(edge).items():
            if seq not in stored:
                continue
            space, embedding = stored[seq]
            crop = decode_image(jpeg, name=f"crop {seq}")[np.newaxis]
            similarities = {name: float(embedder.embed(crop)[0] @ embedding) for name, embedder in embedders.items()}
            assert max(similarities, key=similarities.__getitem__) == space, similarities
            num_compared += 1
    return num_compared


def stored_embeddings(server: ServerProcess, edge_id: str) -> dict[int, tuple[str, np.ndarray]]:
    query = (
        "SELECT seq, space, embedding FROM observations JOIN tracklets USING (tracklet_key) JOIN spools USING "
        "(spool_key) WHERE edge_id = ?"
    )
    with sqlite3.connect(server.data / "records.db") as records:
        rows = records.execute(query, (edge_id,)).fetchall()
    return {seq: (space, unpack(content, dim=len(content) // 2)) for seq, space, content in rows}


def kept_crops(edge: AttendingEdge) -> dict[int, bytes]:
    """JPEGs in the ring of an edge that has ended, by their numbers."""
    spool = Spool(edge.spool, limit_bytes=1 << 30)
    path = RingSettings().path_beside(edge.spool)
    ring = CropRing(
        path,
        spool_id=spool.spool_id,
        secret=lambda: secret_beside(path.with_name(f"{path.name}.key")),
        settings=RingSettings(),
    )
    found = {seq: ring.find(seq) for seq in range(1, MOST_CROPS)}
    ring.close()
    spool.close()
    return {seq: kept.jpeg for seq, kept in found.items() if isinstance(kept, KeptCrop)}


def let_it_go_on(server: ServerProcess, *, num_changes: int) -> None:
    """Wait until an edge, or the whole, has got so many steps on, but not for ever."""
    end_s, seen = time.monotonic() + LONGEST_WAIT_S, {steps(look(server))}
    while len(seen) <= num_changes and time.monotonic() < end_s:
        seen.add(steps(look(server)))
        time.sleep(0.1)


def steps(view: RolloutView) -> tuple[str, ...]:
    return (view.state, str(view.ring), *(edge.state for edge in view.edges))


def keep_rolling(server: ServerProcess, newest: Release, folder: Path, ends: dict[str, int]) -> Release:
    """Start the next roll-out if none is under way: of a newer release, or of the halted one once more."""
    with ReleaseClient(server.address) as client:
        rollouts = [release for release in client.list_releases() if release.ref == newest.ref]
        try:
            state = client.get_rollout().state
        except NotFoundError:
            state = "none yet"
        if state == "done" and rollouts[0].is_served:
            ends["done"] += 1
            newest = write_child_release(newest, folder, seed=len(client.list_releases()))
            client.import_release(newest, force=True)
        if state in ("none yet", "aborted") or newest.folder == folder:
            ends["aborted"] += state == "aborted"
            client.start_rollout(newest.manifest.space, force=True)
    return newest
