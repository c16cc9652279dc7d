"""The parts of the loop together, in a real server: from the gate's word to a gallery in the new space."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fakes_attending import AttendingEdge
from fakes_running import TalkingEdge, running_server
from fakes_spaces import rotation, write_rotated_release
from fakes_stream import batch_message, observation

from protos import fleet_pb2
from reid.release import Release
from server.adaptation.book import RunBook
from server.adaptation.folder import AdaptationFolder
from server.adaptation.run import AdaptationRun
from server.adaptation_client import AdaptationClient
from server.client import SearchClient
from server.errors import NotFoundError
from server.gate.verdict import Check, Verdict
from server.release_client import ReleaseClient
from server.releases.rollout import RolloutSettings
from server.storage.audit import audit_page
from server.storage.database import StorageSettings, open_database

T = TypeVar("T")

QUICK = RolloutSettings(rings=("all",), soak_s=0, baseline_s=0, tick_s=0.05)


def wait_for(look: Callable[[], T], is_so: Callable[[T], bool]) -> T:
    until_s = time.monotonic() + 30
    while not is_so(seen := look()):
        assert time.monotonic() < until_s, seen
        time.sleep(0.05)
    return seen


def seen_by_an_edge(data: Path, release: Release) -> None:
    with running_server(data, release) as address, TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, *(observation(time_s=time.time() + number / 10) for number in range(8))))
        edge.acknowledgement()


def judged(data: Path, release: Release, *, is_accepted: bool) -> Release:
    """Leave what a server leaves that was killed when the gate had just spoken; gives the candidate."""
    engine = open_database(StorageSettings(), data=data)
    run = AdaptationRun(
        trigger="operator",
        actor="ann",
        started_us=1,
        changed_us=1,
        parent=release.manifest.space,
        state="gating",
        space="tiny-2-rotated",
    )
    run = RunBook(engine).begin(run)
    engine.dispose()
    folder = AdaptationFolder(data / "adaptation" / str(run.run_key))
    folder.run.mkdir(parents=True)
    job = folder.job("gate", 0)
    job.mkdir(parents=True)
    check = Check(name="gain", value=0.2, bound=0.1, is_passed=is_accepted, reason="gain of 0.2, wanted 0.1")
    verdict = Verdict(is_accepted=is_accepted, checks=(check,))
    (job / "verdict.json").write_text(json.dumps(verdict.to_json()))
    (job / "job.json").write_text(json.dumps({"pid": 1, "started_at": "long ago", "command": []}))
    (job / "exit.json").write_text(json.dumps({"code": 0, "is_too_long": False}))
    return write_rotated_release(release, folder.release, rotation(5), version="2")


def install(edge: AttendingEdge, releases: ReleaseClient, candidate: Release) -> None:
    """Attend until the server wants something, and do it."""

    def is_asked() -> bool:
        edge.say()
        with suppress(NotFoundError):
            return any(each.state == "asked" for each in releases.get_rollout().edges)
        return False

    wait_for(is_asked, bool)
    told = edge.directive()
    assert told.install_release.release.space == candidate.manifest.space
    edge.space = candidate.manifest.space
    edge.say(directive_id=told.directive_id, state=fleet_pb2.DIRECTIVE_STATE_DONE)


def test_what_the_gate_accepts_goes_to_the_edges_and_is_served(tmp_path: Path, tiny_release: Release) -> None:
    data = tmp_path / "data"
    seen_by_an_edge(data, tiny_release)
    candidate = judged(data, tiny_release, is_accepted=True)
    with (
        running_server(data, tiny_release, rollout=QUICK) as address,
        AttendingEdge(address) as edge,
        AdaptationClient(address) as adaptation,
        ReleaseClient(address) as releases,
    ):
        install(edge, releases, candidate)
        done = wait_for(lambda: adaptation.get(1), lambda view: not view.run.is_active)
        assert (done.run.state, done.run.rollout_key) == ("done", 1), done.run.message
        served = [known.ref.space for known in releases.list_releases() if known.is_served]
        assert served == [candidate.manifest.space] == [adaptation.status().release.space]
    with running_server(data, tiny_release) as address, SearchClient(address) as client:
        assert client.status().release.space == candidate.manifest.space
        assert [person.num_tracklets for person in client.iter_persons()] == [1]


def test_what_the_gate_refuses_stays_here_until_an_operator_forces_it(tmp_path: Path, tiny_release: Release) -> None:
    data = tmp_path / "data"
    seen_by_an_edge(data, tiny_release)
    candidate = judged(data, tiny_release, is_accepted=False)
    space = candidate.manifest.space
    with (
        running_server(data, tiny_release, rollout=QUICK) as address,
        AttendingEdge(address) as edge,
        AdaptationClient(address) as adaptation,
        ReleaseClient(address) as releases,
    ):
        refused = wait_for(lambda: adaptation.get(1), lambda view: not view.run.is_active)
        assert (refused.run.state, refused.run.message) == ("refused", "gain of 0.2, wanted 0.1")
        releases.start_rollout(space, force=True)
        install(edge, releases, candidate)
        wait_for(lambda: adaptation.status().release.space, lambda served: served == space)
    engine = open_database(StorageSettings(), data=data)
    with engine.connect() as connection:
        noted = [(entry.what, entry.subject) for _, entry in audit_page(connection, since_us=0, after=0)]
    engine.dispose()
    assert ("force release", space) in noted


def test_crops_and_weights_leave_a_run_that_was_judged(tmp_path: Path, tiny_release: Release) -> None:
    data = tmp_path / "data"
    seen_by_an_edge(data, tiny_release)
    judged(data, tiny_release, is_accepted=False)
    folder = AdaptationFolder(data / "adaptation" / "1")
    with running_server(data, tiny_release):
        wait_for(folder.release.exists, lambda is_there: not is_there)
    assert folder.verdict.is_file()
