"""A server and six edges as processes, over TLS: streamed to, refreshed, rolled out, and asked what they did."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.instruments.refresh_runs import import_parent
from benchmarks.instruments.retrieval import LabelledPeople
from demo.children import Child, Children, wait_until
from demo.errors import DemoError
from reid.credentials import read_credentials
from reid.embedder import OnnxEmbedder
from reid.release import Release, load_release, write_release
from server.adaptation.run import AdaptationRun
from server.adaptation_client import AdaptationClient
from server.client import SearchClient
from server.release_client import ReleaseClient
from train.calibrate import calibrate
from train.evaluate import embed_all

FALSE_MATCH_RATE = 0.01
"""Of the parent's threshold, on the people of the test: how far later thresholds stray from it is a figure."""
_CAMERAS = tuple(f"c{number}" for number in range(1, 7))
_RECORDED = timedelta(days=3)
"""The recordings end less than three days after they begin; edges keep crops for a week."""
_START_S = 120.0
_COMMAND_S = 120.0
_QUIET_S = 10.0
_STREAM_S = 3600.0
_REFRESH_S = 6 * 3600.0
_POLL_S = 1.0


def calibrated_parent(checkpoint: Path, folder: Path, people: LabelledPeople) -> Release:
    """The release that the loop begins with: public weights, and the threshold that is right for the test's people."""
    release = import_parent(checkpoint, folder)
    crops, samples = (people.query.crops, people.gallery.crops), people.query.samples + people.gallery.samples
    embedder = OnnxEmbedder(release)
    feats = [embed_all(embedder, part) for part in crops]
    threshold = calibrate(np.concatenate(feats), samples, rate=FALSE_MATCH_RATE).tracklets.similarity
    how = f"false-match rate {FALSE_MATCH_RATE:g} between tracklets of the people who are searched for"
    values = release.manifest.model_dump(mode="json", exclude={"sha256"})
    write_release(folder, {**values, "thresholds": {"match": threshold, "how": how}})
    return load_release(folder)


class LoopSite(AbstractContextManager["LoopSite"]):
    """Runs while its block lasts.

    Args:
        folder: For everything; must not hold a site yet.
        release: That server and edges begin with.
        method: Recipe of the adaptation.
        epochs: Of each training.

    Attributes:
        reports: What the edges said at the end of each stream, by camera, in order.
        told: What became of each refresh, for people.
    """

    def __init__(self, folder: Path, release: Release, *, method: str, epochs: int) -> None:
        folder.mkdir(parents=True)
        self.reports: list[dict[str, dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []
        self._folder = folder
        self._release = release
        self._children = Children(folder)
        self._edges: dict[str, Child] = {}
        self._num_streams = 0
        self._begin = datetime.now(timezone.utc) - _RECORDED
        _write_configs(folder, method, epochs)
        self._make_certificates()
        self._server = self._children.start("server", self._server_command())
        self._address = self._await_port()
        self._credentials = read_credentials(folder / "me.credentials")

    def play(self, videos: Mapping[int, Path], *, while_rolling_out: str = "") -> None:
        """Let the edges stream one video each, after those that they streamed before, until all of it is stored.

        Args:
            videos: By camera, from 1.
            while_rolling_out: A space: its roll-out begins with the videos.

        Raises:
            DemoError: A process failed, it took too long, or the roll-out was aborted.
        """
        self._stop_edges()
        self._num_streams += 1
        self._edges = {
            camid: self._children.start(f"edge-{camid}-{self._num_streams}", self._edge_command(camid, videos[number]))
            for number, camid in enumerate(_CAMERAS, start=1)
            if number in videos
        }
        if while_rolling_out:
            self._roll_out(while_rolling_out)
        self._await_stored()

    def refresh(self) -> AdaptationRun:
        """One run of the loop, up to the gate's word.

        Raises:
            DemoError: The gate refused, the run failed, or took too long.
        """
        with AdaptationClient(self._address, credentials=self._credentials) as client:
            run_key = client.start().run.run_key
            self._wait(lambda: not client.get(run_key).run.is_active, "the adaptation ends", limit_s=_REFRESH_S)
            view = client.get(run_key)
        failed = () if view.verdict is None else view.verdict.failed
        self.told.append(
            {
                "space": view.run.space,
                "outcome": view.run.state,
                "crops": view.run.num_crops_received,
                "crop_bytes": view.run.crop_bytes,
                "duration_s": round((view.run.changed_us - view.run.started_us) / 1e6),
                "verdict": "" if view.verdict is None else view.verdict.summary,
                "forced": bool(failed),
            }
        )
        if view.run.state not in ("done", "refused"):
            raise DemoError(f"the adaptation {view.run.state}: {view.run.message}")
        return view.run

    def release_folder(self, space: str) -> Path:
        """Where the server keeps a release."""
        return self._folder / "data" / "releases" / space

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        try:
            if error is None:
                self._stop_edges()
        finally:
            self._children.__exit__(kind, error, trace)

    def _roll_out(self, space: str) -> None:
        with ReleaseClient(self._address, credentials=self._credentials) as client:
            client.start_rollout(space, force=bool(self.told[-1]["forced"]))
            self._wait(lambda: not client.get_rollout().is_active, "the roll-out ends", limit_s=_STREAM_S)
            rollout = client.get_rollout()
            if rollout.state != "done":
                raise DemoError(f"the roll-out was {rollout.state}: {rollout.reason}")
            served = f"the server serves {space}"
            self._wait(lambda: client.get_release(space).is_served, served, limit_s=_COMMAND_S)

    def _await_stored(self) -> None:
        """Wait until nothing new is stored for a while: the edges, which read as fast as they can, are through."""
        latest, since_s = -1, time.monotonic()

        def is_quiet() -> bool:
            nonlocal latest, since_s
            count = client.status().totals.num_observations
            if count != latest:
                latest, since_s = count, time.monotonic()
            return count > 0 and time.monotonic() - since_s >= _QUIET_S

        with SearchClient(self._address, credentials=self._credentials) as client:
            self._wait(is_quiet, "the edges store what they saw", limit_s=_STREAM_S)

    def _stop_edges(self) -> None:
        reports: dict[str, dict[str, Any]] = {}
        for camid, edge in self._edges.items():
            edge.stop(grace_s=_COMMAND_S)
            edge.check()
            reports[camid] = edge.report()
        if reports:
            self.reports.append(reports)
        self._edges = {}

    def _wait(self, is_done: Callable[[], bool], what: str, *, limit_s: float) -> None:
        wait_until(is_done, [self._server, *self._edges.values()], limit_s=limit_s, what=what, every_s=_POLL_S)

    def _await_port(self) -> str:
        port_file = self._folder / "port"
        wait_until(port_file.is_file, [self._server], limit_s=_START_S, what="the server names its port")
        return f"127.0.0.1:{port_file.read_text(encoding='utf-8').strip().rpartition(':')[2]}"

    def _make_certificates(self) -> None:
        data = ("--data", str(self._folder / "data"))
        enroll = _python("server", "enroll")
        commands = [
            [*_python("server", "init"), *data, "--host", "127.0.0.1"],
            [*enroll, "operator", "me", *data, "--out", str(self._folder / "me.credentials")],
            *([*enroll, "edge", c, *data, "--cameras", c, "--out", str(self._bundle(c))] for c in _CAMERAS),
        ]
        for number, command in enumerate(commands):
            self._children.start(f"certificates-{number}", command).wait(_COMMAND_S)

    def _server_command(self) -> list[str]:
        return [
            *_python("server", "run"),
            *("--config", str(self._folder / "server.toml"), "--data", str(self._folder / "data")),
            *("--listen", "127.0.0.1:0", "--port-file", str(self._folder / "port"), "--metrics", "127.0.0.1:0"),
            *("--release", str(self._release.folder)),
        ]

    def _edge_command(self, camid: str, video: Path) -> list[str]:
        return [
            *_python("edge", "run"),
            *("--config", str(self._folder / "edge.toml"), "--bundle", str(self._bundle(camid))),
            *("--server", self._address, "--camera", f"{camid}={video}", "--detector", "truth"),
            *("--release", str(self._release.folder), "--spool", str(self._folder / f"{camid}.sqlite")),
            *("--start-time", self._begin.isoformat(), "--threads", "1", "--metrics", "127.0.0.1:0", "--json"),
        ]

    def _bundle(self, camid: str) -> Path:
        return self._folder / f"{camid}.bundle"


def _write_configs(folder: Path, method: str, epochs: int) -> None:
    """Short watches in the roll-out; rates and times tell little of six edges that share a machine and know no pace."""
    (folder / "server.toml").write_text(
        f"""\
[adaptation]
method = "{method}"
epochs = {epochs}
least_crops = 50
roll_out = false
keep_snapshots = true
collect_h = 0.1

[adaptation.job]
nice = 0

[rollout]
baseline_s = 5
soak_s = 10

[rollout.health]
min_rate_share = 0
max_embed_ratio = 20
""",
        encoding="utf-8",
    )
    (folder / "edge.toml").write_text(
        "[fleet]\nstatus_s = 1\n\n[releases]\nprobation_batches = 50\nprobation_s = 10\n", encoding="utf-8"
    )


def _python(module: str, command: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, command
