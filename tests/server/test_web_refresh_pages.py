from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fakes_crop_edges import observe, put, store_of
from fakes_fleet import NEW, OLD, QUICK, FakeEdge
from fakes_stream import ServerParts
from fastapi import Depends, FastAPI
from releases import write_tiny_release
from starlette.testclient import TestClient

from reid.release import Release, write_release
from server.adaptation.book import RunBook
from server.adaptation.examples import Answer, Example, Examples
from server.adaptation.folder import AdaptationFolder
from server.adaptation.run import AdaptationRun
from server.gate.verdict import at_least, verdict_of
from server.releases.fleet import FleetBook
from server.releases.ledger import RolloutLedger
from server.releases.registry import ReleaseRegistry
from server.releases.repository import ReleaseRepository
from server.releases.roller import Roller
from server.settings import ServerSettings
from server.types import Actor
from server.web.access import admitted
from server.web.answers import add_answers
from server.web.console import Console
from server.web.door import Door
from server.web.pages import refresh, releases, rollouts
from server.web.sessions import Sessions
from server.web.settings import WebSettings

RUN = AdaptationRun(trigger="operator", actor="ann", started_us=1_000_000, changed_us=1_000_000, parent=OLD)
REFUSAL = verdict_of((at_least("retrieval", 0.3, 0.4, "tracklet mAP"),), {"seconds": 6.0})


@dataclass
class FakeLoop:
    """Begins runs that nobody carries out."""

    book: RunBook
    log: list[str] = field(default_factory=list)

    async def start(self, actor: Actor) -> AdaptationRun:
        self.log.append(f"start {actor.name}")
        return self.book.begin(replace(RUN, actor=actor.name))


class Site:
    """Runs, releases and roll-outs of a site, and a visitor of their pages who may do everything."""

    def __init__(self, parts: ServerParts, folder: Path) -> None:
        self.parts, self.folder = parts, folder
        self.now_us = 1_000_000_000
        self.runs = RunBook(parts.engine)
        self.loop = FakeLoop(self.runs)
        self.registry = ReleaseRegistry(parts.engine, folder / "releases", clock_us=lambda: self.now_us)
        self.registry.open_served(write_tiny_release(folder / "one"))
        self.registry.register(_child(folder / "two").folder, REFUSAL)
        self.book = FleetBook(QUICK, clock_us=lambda: self.now_us)
        self.roller = self._roller()
        self.client = TestClient(self._app(), base_url="http://127.0.0.1:8080", follow_redirects=False)

    def run_folder(self, run_key: int) -> AdaptationFolder:
        return AdaptationFolder(self.folder / "runs" / str(run_key))

    def get(self, url: str, *, status: int = 200) -> str:
        answer = self.client.get(url)
        assert answer.status_code == status
        return answer.text

    def post(self, url: str, **form: object) -> tuple[int, str]:
        """Status, and where it leads or what it says."""
        token = re.search(r'X-CSRF-Token": "([^"]+)"', self.get("/releases"))
        assert token is not None
        answer = self.client.post(url, data={"csrf_token": token[1], **form})
        return answer.status_code, answer.headers.get("location", answer.text)

    def live(self, edge: FakeEdge, seconds: int) -> None:
        """Time passes for an edge and the roll-out."""
        for _ in range(seconds):
            self.now_us += 1_000_000
            edge.live(1.0)
            self.book.note(edge.report())
            asyncio.run(self.roller.step())
            edge.hear(self.roller.directive_for(edge.edge_id))

    def _roller(self) -> Roller:
        async def nothing(release: Release) -> None:
            """No gallery has to move."""

        repository = ReleaseRepository(self.folder)
        repository.make()
        self.ledger = RolloutLedger(self.parts.engine)
        return Roller(
            self.registry,
            repository,
            self.ledger,
            self.book,
            settings=QUICK,
            append_audit=self.parts.records.append_audit,
            clock_us=lambda: self.now_us,
            on_begin=nothing,
            on_done=nothing,
        )

    def _app(self) -> Door:
        parts = SimpleNamespace(
            settings=ServerSettings(data=self.folder),
            site=SimpleNamespace(engine=self.parts.engine, registry=self.registry),
            loop=self.loop,
            runs=self.runs,
            run_folder=self.run_folder,
            roller=self.roller,
            ledger=self.ledger,
            book=self.book,
            connected_camids=lambda: {"edge1": ("cam1",)},
            clock_us=lambda: self.now_us,
        )

        async def refused(actor: Actor, what: str, reason: str) -> None:
            raise AssertionError("nobody is refused here")

        app, console = FastAPI(), cast(Console, parts)
        for noun in (refresh, releases, rollouts):
            app.include_router(noun.routes(console), dependencies=[Depends(admitted)])
        add_answers(app, refused)
        return Door(app, sessions=Sessions(WebSettings(), time.monotonic), gate=None, max_body_bytes=10_000)


def _child(folder: Path) -> Release:
    release = write_tiny_release(folder, seed=1, version="2")
    values = release.manifest.model_dump(mode="json", exclude={"sha256"})
    return write_release(release.folder, {**values, "parent": OLD})


@pytest.fixture
def site(parts: ServerParts, tmp_path: Path) -> Site:
    folder = tmp_path / "console"
    folder.mkdir()
    return Site(parts, folder)


def put_figures(folder: AdaptationFolder, *, num_epochs: int) -> None:
    folder.run.mkdir(parents=True, exist_ok=True)
    epochs = [{"epoch": epoch, "loss": 3.0 / epoch, "num_clusters": 9} for epoch in range(1, num_epochs + 1)]
    (folder.run / "metrics.json").write_text(json.dumps({"epochs": epochs}))


def test_a_run_is_begun_and_then_shown_as_the_one_under_way(site: Site) -> None:
    assert "No run is under way" in site.get("/refresh")
    assert site.post("/refresh") == (303, "/refresh/1")
    page = site.get("/refresh")
    assert site.loop.log == ["start local"]
    assert "Watch it" in page
    assert "Begin a run" not in page


def test_many_runs_are_turned_over_page_by_page(site: Site) -> None:
    for _ in range(27):
        run = site.runs.begin(RUN)
        site.runs.save(replace(run, state="done"))
    newest, older = site.get("/refresh"), site.get("/refresh?before=3")
    assert (newest.count("/refresh/27"), newest.count('"/refresh/2"')) == (1, 0)
    assert 'href="/refresh?before=3"' in newest
    assert (older.count("Run 2<"), older.count("Run 1<"), older.count("Crop budget")) == (1, 1, 0)


def test_a_page_that_watches_is_told_to_load_anew_when_the_run_moves_on(site: Site) -> None:
    run = site.runs.begin(replace(RUN, state="training"))
    watched = f"/refresh/{run.run_key}/live?state=training&panels=0"
    assert 'hx-trigger="every 2s"' in site.get(watched)
    put_figures(site.run_folder(run.run_key), num_epochs=1)
    assert site.client.get(watched).headers["HX-Refresh"] == "true"
    site.runs.save(replace(run, state="gating"))
    assert site.client.get(watched.replace("panels=0", "panels=2")).headers["HX-Refresh"] == "true"


def test_curves_are_given_as_numbers(site: Site) -> None:
    run = site.runs.begin(RUN)
    put_figures(site.run_folder(run.run_key), num_epochs=3)
    curves = json.loads(site.get("/refresh/1/curves/loss.json"))
    assert curves["x"]["values"] == [1, 2, 3]
    assert curves["series"] == [{"label": "loss", "values": [3.0, 1.5, 1.0]}]
    site.get("/refresh/1/curves/scores.json", status=404)


def test_a_refused_run_shows_its_reasons_clusters_and_examples(site: Site) -> None:
    observe(site.parts, [[1, 2, 3], [4, 5, 6]])
    put(store_of(site.parts), 1, 1, 2)
    run = site.runs.begin(replace(RUN, state="refused", space=NEW))
    folder = site.run_folder(run.run_key)
    put_figures(folder, num_epochs=2)
    folder.verdict.write_text(json.dumps(REFUSAL.to_json()))
    (folder.run / "projection.json").write_text('{"points": [[0, 0, 1, 0], [1, 1, 1, 1]]}')
    found = (Answer(spool_key=1, seq=2, similarity=0.9, known="same"),)
    example = Example(spool_key=1, seq=1, rank_before=3, rank_after=1, before=found, after=())
    gone = Example(spool_key=1, seq=9, rank_before=1, rank_after=2, before=(), after=())
    shown = Examples(num_tracklets=2, num_better=1, num_worse=1, examples=(example, gone))
    folder.examples.write_text(shown.model_dump_json())
    page = site.get("/refresh/1")
    assert "tracklet mAP 0.3, wanted at least 0.4" in page
    assert (page.count("<circle"), page.count('<path class="cluster-1"')) == (2, 2)  # one each in the legend
    assert (page.count("/crops/1/1.jpg"), page.count("/crops/1/2.jpg")) == (1, 1)
    assert (page.count("no longer kept"), page.count("same person")) == (1, 1)


def test_damaged_examples_cost_their_part_of_the_page_alone(site: Site) -> None:
    run = site.runs.begin(RUN)
    site.run_folder(run.run_key).path.mkdir(parents=True)
    site.run_folder(run.run_key).examples.write_text("{")
    assert "Before and after" not in site.get("/refresh/1")


def test_there_is_no_page_of_an_unknown_run(site: Site) -> None:
    assert "there is no adaptation run 7" in site.get("/refresh/7", status=404)
    site.get("/refresh/99999999999999999999", status=400)


def test_a_refused_release_takes_force_and_its_rollout_is_paused_and_aborted(site: Site) -> None:
    assert "Force it out" in site.get(f"/releases/{NEW}")
    assert site.post("/rollouts", space=NEW)[0] == 409
    assert site.post("/rollouts", space=NEW, force="true") == (303, "/rollouts")
    assert site.post("/rollouts/pause", rollout_key=1)[0] == 303
    assert "Go on" in site.get("/rollouts")
    assert site.post("/rollouts/abort", rollout_key=1, reason="it is dusk")[0] == 303
    assert "aborted by local: it is dusk" in site.get("/rollouts")
    noted = {entry.what for entry in site.parts.records.iter_audit()}
    assert {"force release", "roll-out start", "roll-out pause", "roll-out abort"} <= noted


def test_a_button_of_an_earlier_rollout_moves_nothing(site: Site) -> None:
    site.post("/rollouts", space=NEW, force="true")
    status, text = site.post("/rollouts/abort", rollout_key=7)
    assert (status, "roll-out 7 is not the latest" in text) == (409, True)
    assert site.roller.latest is not None
    assert site.roller.latest.state == "running"


def test_rings_fill_while_they_are_watched_and_what_is_done_can_be_rolled_back(site: Site) -> None:
    edge = FakeEdge("edge1")
    site.post("/rollouts", space=NEW, force="true")
    site.live(edge, 8)
    watched = site.get("/rollouts/1/live?state=running")
    assert "edge1" in watched
    assert "1 of 1 installed" in watched
    site.live(edge, 60)
    assert site.client.get("/rollouts/1/live?state=running").headers["HX-Refresh"] == "true"
    site.registry.set_served(NEW)
    assert "Roll back to 1" in site.get("/rollouts")
    assert site.post("/rollouts", space=OLD, force="true") == (303, "/rollouts")
    assert "Roll-out 2" in site.get("/rollouts")


def test_a_release_is_shown_beside_its_parent(site: Site) -> None:
    page = site.get(f"/releases/{NEW}")
    assert "In what they differ" in page
    assert "(its parent)" in page
    assert "refused: tracklet mAP 0.3, wanted at least 0.4" in page
    site.get("/releases/nothing-9", status=404)
