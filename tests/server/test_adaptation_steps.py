from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from releases import write_tiny_release

from reid.release import Release, write_release
from server.adaptation.delivery import Delivery, RolloutNews
from server.adaptation.folder import AdaptationFolder, ProjectedPoint
from server.adaptation.gathering import Collecting, Snapshotting
from server.adaptation.gating import Gating
from server.adaptation.run import AdaptationRun
from server.adaptation.settings import AdaptationSettings, JobSettings
from server.adaptation.training import Training, next_version
from server.adaptation.view import view_of
from server.adaptation.watch import JobWatch
from server.crops.exchange import CollectReport
from server.crops.selection import WantedCrop
from server.errors import AdaptationError
from server.gate.settings import GateSettings
from server.gate.verdict import Check, Verdict

NOW_US = 1_000_000_000
RUN = AdaptationRun(run_key=1, trigger="operator", actor="ann", started_us=NOW_US, changed_us=NOW_US, parent="tiny-1-0")
JOB = JobSettings(grace_s=5, poll_s=0.02)
WANTED = [WantedCrop(tracklet, 1, tracklet * 10, 0) for tracklet in range(4)]


async def save(run: AdaptationRun) -> AdaptationRun:
    return run


def clock_us() -> int:
    return NOW_US


@dataclass
class FakeSource:
    """Crops that come at once."""

    num_received: int = 4
    num_selections: int = 0
    deadlines_s: list[float] = field(default_factory=list)
    snapshots: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def select(self, *, since_us: int) -> list[WantedCrop]:
        self.num_selections += 1
        return WANTED

    async def collect(
        self, wanted: Sequence[WantedCrop], *, deadline_s: float, on_answer: Callable[[CollectReport], None]
    ) -> CollectReport:
        self.deadlines_s.append(deadline_s)
        report = CollectReport(num_wanted=len(wanted), num_received=self.num_received, num_expired=1, num_bytes=500)
        on_answer(report)
        return report

    def snapshot(
        self, wanted: Sequence[WantedCrop], folder: Path, *, parent: str, provenance: Mapping[str, str]
    ) -> int:
        self.snapshots.append((parent, provenance))
        return len(wanted)


@dataclass
class Steps:
    """All steps of one run in a folder, with a training and a gate that are small programs."""

    path: Path
    source: FakeSource = field(default_factory=FakeSource)
    registered: list[tuple[Path, Verdict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parent = write_tiny_release(self.path / "parent")
        self.folder = AdaptationFolder(self.path / "run")
        self.made = self.path / "made"
        self.folder.snapshot.mkdir(parents=True)
        (self.folder.snapshot / "crops.csv").write_text("path,camid\n")

    def folder_of(self, run_key: int) -> AdaptationFolder:
        assert run_key == RUN.run_key
        return self.folder

    def release(self, space: str) -> Release:
        assert space == RUN.parent
        return self.parent

    def collecting(self, **settings: object) -> Collecting:
        parsed = AdaptationSettings.model_validate({"least_crops": 2, **settings})
        return Collecting(self.source, parsed, folder=self.folder_of, clock_us=clock_us)

    def training(self) -> Training:
        copy = f"shutil.copytree('{self.made}', sys.argv[3] + '/release', dirs_exist_ok=True)"
        program = f"import shutil,sys; print(len(sys.argv)); {copy}"
        settings = AdaptationSettings(command=f'{{python}} -c "{program}" {{snapshot}} {{init}} {{out}} {{resume}}')
        return Training(
            JobWatch("training", JOB),
            settings,
            release=self.release,
            versions=lambda name: {"1", "2"},
            folder=self.folder_of,
            clock_us=clock_us,
        )

    def gating(self, program: str, *, roll_out: bool = True) -> Gating:
        stand_in = f'import json, sys\nout = sys.argv[sys.argv.index("--out") + 1]\n{program}'
        return Gating(
            JobWatch("gate", JOB),
            release=self.release,
            register=lambda folder, verdict: self.registered.append((folder, verdict)),
            bounds=GateSettings(),
            num_threads=1,
            roll_out=roll_out,
            folder=self.folder_of,
            clock_us=clock_us,
            command=[sys.executable, "-c", stand_in],
        )


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


def prepare_release(steps: Steps, *, parent: str | None = RUN.parent) -> None:
    release = write_tiny_release(steps.made, seed=1, version="2")
    write_release(release.folder, {**release.manifest.model_dump(exclude={"sha256"}), "parent": parent})


def test_crops_are_chosen_once_and_asked_for_until_the_deadline(steps: Steps) -> None:
    run = asyncio.run(steps.collecting(collect_h=1).take(RUN, save))
    assert (run.state, run.num_crops_wanted, run.num_crops_received, run.crop_bytes) == ("snapshot", 4, 4, 500)
    began_earlier = replace(RUN, changed_us=NOW_US - 1_800_000_000, crop_bytes=500)
    again = asyncio.run(steps.collecting(collect_h=1).take(began_earlier, save))
    assert (steps.source.num_selections, steps.source.deadlines_s, again.crop_bytes) == (1, [3600, 1800], 1000)


def test_too_few_crops_fail_the_run(steps: Steps) -> None:
    steps.source.num_received = 1
    with pytest.raises(AdaptationError, match=r"1 of 4 crops came, adaptation.least_crops wants 2"):
        asyncio.run(steps.collecting().take(RUN, save))


def test_a_snapshot_is_made_of_the_wanted_crops(steps: Steps) -> None:
    collected = asyncio.run(steps.collecting().take(RUN, save))
    step = Snapshotting(steps.source, folder=steps.folder_of, clock_us=clock_us)
    run = asyncio.run(step.take(collected, save))
    assert (run.state, run.message) == ("training", "trains on 4 crops")
    assert steps.source.snapshots == [("tiny-1-0", {"adaptation_run": "1", "trigger": "operator", "actor": "ann"})]


def train(steps: Steps, attempt: int = 0) -> AdaptationRun:
    run = replace(RUN, state="training", attempt=attempt)
    return asyncio.run(steps.training().take(run, save))


def num_words(steps: Steps, attempt: int) -> int:
    return int((steps.folder.job("training", attempt) / "log.txt").read_text())


def test_a_training_that_leaves_a_release_is_judged_next(steps: Steps) -> None:
    prepare_release(steps)
    run = train(steps)
    assert (run.state, run.space) == ("gating", "tiny-2-1")


def test_a_training_goes_on_where_a_checkpoint_is(steps: Steps) -> None:
    prepare_release(steps)
    train(steps, 0)
    (steps.folder.run / "checkpoint.pt").touch()
    train(steps, 1)
    assert num_words(steps, 1) == num_words(steps, 0) + 1


def test_a_training_begins_anew_when_somebody_was_erased(steps: Steps) -> None:
    prepare_release(steps)
    train(steps, 0)
    (steps.folder.run / "checkpoint.pt").touch()
    (steps.folder.snapshot / "crops.csv").write_text("path\n")
    train(steps, 1)
    assert num_words(steps, 1) == num_words(steps, 0)
    assert not (steps.folder.run / "checkpoint.pt").exists()


def test_a_release_of_another_parent_fails_the_run(steps: Steps) -> None:
    prepare_release(steps, parent=None)
    with pytest.raises(AdaptationError, match="made a release with parent None"):
        train(steps)


def test_what_is_no_release_fails_the_run(steps: Steps) -> None:
    steps.made.mkdir()
    with pytest.raises(AdaptationError, match="no usable release"):
        train(steps)


@pytest.mark.parametrize(
    ("version", "taken", "after"), [("0.1.0", {"0.1.0"}, "0.1.1"), ("1", {"1", "2", "3"}, "4"), ("a", (), "a.2")]
)
def test_a_version_is_the_next_that_is_free(version: str, taken: Sequence[str], after: str) -> None:
    assert next_version(version, taken) == after


def told_verdict(is_accepted: bool) -> str:
    check = Check(name="map", value=0.5, bound=0.4, is_passed=is_accepted, reason="0.5 against 0.4")
    values = json.dumps(Verdict(is_accepted=is_accepted, checks=(check,)).to_json())
    return f"open(out, 'w').write({values!r})"


@pytest.mark.parametrize(
    ("is_accepted", "roll_out", "state"), [(True, True, "rolling_out"), (True, False, "done"), (False, True, "refused")]
)
def test_the_gates_word_decides(steps: Steps, is_accepted: bool, roll_out: bool, state: str) -> None:
    gating = steps.gating(told_verdict(is_accepted), roll_out=roll_out)
    run = asyncio.run(gating.take(replace(RUN, state="gating", space="tiny-2-1"), save))
    assert run.state == state
    ((folder, verdict),) = steps.registered
    assert (folder, verdict.is_accepted) == (steps.folder.release, is_accepted)
    view = view_of(run, steps.folder)
    assert view.verdict == verdict
    assert ("0.5 against 0.4" in run.message) is not is_accepted


def test_a_gate_that_cannot_judge_fails_the_run(steps: Steps) -> None:
    gating = steps.gating("sys.exit('error: no snapshot')")
    with pytest.raises(AdaptationError, match="gate ended with code 1: error: no snapshot"):
        asyncio.run(gating.take(replace(RUN, state="gating"), save))
    assert steps.registered == []


@dataclass
class FakeRollouts:
    """One roll-out that goes through states, one more at each look."""

    states: list[str]
    begun: list[str] = field(default_factory=list)

    async def begin(self, space: str) -> RolloutNews:
        self.begun.append(space)
        return RolloutNews(5, "running", "")

    async def news(self, rollout_key: int) -> RolloutNews:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return RolloutNews(rollout_key, state, "edge3 is ill")


def deliver(rollouts: FakeRollouts, run: AdaptationRun, served: Callable[[], str]) -> AdaptationRun:
    return asyncio.run(Delivery(rollouts, served=served, poll_s=0.001, clock_us=clock_us).take(run, save))


def test_a_run_is_done_when_its_release_is_served() -> None:
    spaces = iter(["a", "a", "b"])
    rollouts = FakeRollouts(["running", "done", "done", "done"])
    run = deliver(rollouts, replace(RUN, state="rolling_out", space="b"), lambda: next(spaces, "b"))
    assert (run.state, run.rollout_key, rollouts.begun) == ("done", 5, ["b"])


def test_a_roll_out_that_was_begun_is_not_begun_again() -> None:
    rollouts = FakeRollouts(["done"])
    deliver(rollouts, replace(RUN, state="rolling_out", space="b", rollout_key=5), lambda: "b")
    assert rollouts.begun == []


def test_a_roll_out_that_is_aborted_fails_the_run() -> None:
    with pytest.raises(AdaptationError, match="roll-out 5 was aborted: edge3 is ill"):
        deliver(FakeRollouts(["rolling_back", "aborted"]), replace(RUN, state="rolling_out", space="b"), lambda: "a")


def test_a_view_tells_how_far_the_training_is(tmp_path: Path) -> None:
    folder = AdaptationFolder(tmp_path)
    assert view_of(RUN, folder).progress == 0.0
    folder.run.mkdir()
    live = {"epoch": 2, "num_epochs": 4, "step": 5, "num_steps": 10, "loss": 1.5, "time_us": 1}
    (folder.run / "progress.json").write_text(json.dumps(live))
    metrics = {"summary": {}, "epochs": [{"epoch": 1, "loss": 2.5, "note": "words"}]}
    (folder.run / "metrics.json").write_text(json.dumps(metrics))
    view = view_of(RUN, folder)
    assert (view.progress, view.epochs) == (0.375, ((1, {"loss": 2.5}),))
    (folder.run / "progress.json").write_text("{")
    assert view_of(RUN, folder).progress == 0.0


def test_clusters_of_a_training_are_read_once_it_has_drawn_them(tmp_path: Path) -> None:
    folder = AdaptationFolder(tmp_path)
    assert folder.projection() == ()
    folder.run.mkdir()
    (folder.run / "projection.json").write_text('{"points": [[0.5, -1, 3, 0], [2, 1, 3, 1]]}')
    assert folder.projection() == (ProjectedPoint(0.5, -1.0, 3, False), ProjectedPoint(2.0, 1.0, 3, True))
