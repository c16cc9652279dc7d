from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_stream import SECOND_US, ServerParts, batch, observation, open_parts

from reid.types import Observation
from server.adaptation.book import RunBook
from server.adaptation.run import AdaptationRun
from server.adaptation.settings import DriftSettings, TriggerSettings
from server.adaptation.site_facts import SiteFacts
from server.storage.members import SqlMembers

DAY_S = 86_400
DRIFT = DriftSettings(least_tracklets=10, window_h=1)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServerParts]:
    yield from open_parts(tmp_path)


def facts(parts: ServerParts, **settings: object) -> SiteFacts:
    spaces = parts.ingest.spaces
    values = {"new_tracklets": 0, "every_days": 0.0, "drift": DRIFT, **settings}
    return SiteFacts(
        RunBook(parts.engine),
        parts.records,
        SqlMembers(parts.engine, spaces=lambda: spaces),
        spaces=lambda: spaces,
        path=parts.data / "adaptation" / "baseline.json",
        settings=TriggerSettings.model_validate(values),
    )


def see(parts: ServerParts, first_seq: int, *, noise: float, at_s: float) -> None:
    """Each of five people once in either camera, three times over; noise parts the two cameras' views."""
    parts.clock.now_us = int(at_s * SECOND_US)
    views: list[Observation] = []
    for number in range(30):
        camera, person, turn = number % 2, number // 2 % 5, number // 10
        views.append(
            observation(
                person,
                camid=f"cam{camera + 1}",
                tracklet_id=first_seq + number,
                time_s=at_s + 10 * turn + camera,
                noise=noise * camera,
                is_last=True,
            )
        )
    parts.ingest.step([batch(first_seq, *views)])


def look(facts: SiteFacts, parts: ServerParts, last: AdaptationRun | None = None) -> str | None:
    reason = facts.look(last, parts.clock.now_us)
    return reason.trigger if reason else None


def test_tracklets_since_the_last_run_are_new(parts: ServerParts) -> None:
    see(parts, 1, noise=0.0, at_s=10 * DAY_S)
    assert look(facts(parts, new_tracklets=30), parts) == "tracklets"
    run = AdaptationRun(
        trigger="operator", actor="ann", started_us=1, changed_us=1, parent="a", state="done", run_key=1
    )
    last = RunBook(parts.engine).begin(run)
    assert look(facts(parts, new_tracklets=1), parts, last) is None
    see(parts, 101, noise=0.0, at_s=11 * DAY_S)
    assert look(facts(parts, new_tracklets=30), parts, last) == "tracklets"


def test_the_schedule_counts_from_the_first_look(parts: ServerParts) -> None:
    parts.clock.now_us = 10 * DAY_S * SECOND_US
    assert look(facts(parts, every_days=2), parts) is None
    parts.clock.now_us = 12 * DAY_S * SECOND_US
    assert look(facts(parts, every_days=2), parts) == "schedule"


def test_similarities_that_fall_are_drift(parts: ServerParts) -> None:
    see(parts, 1, noise=0.0, at_s=10 * DAY_S)
    assert look(facts(parts), parts) is None
    see(parts, 101, noise=0.0, at_s=11 * DAY_S)
    assert look(facts(parts), parts) is None
    see(parts, 201, noise=0.35, at_s=12 * DAY_S)
    assert look(facts(parts), parts) == "drift"


def test_a_damaged_baseline_is_taken_anew(parts: ServerParts) -> None:
    see(parts, 1, noise=0.0, at_s=10 * DAY_S)
    (parts.data / "adaptation").mkdir()
    (parts.data / "adaptation" / "baseline.json").write_text("{")
    assert look(facts(parts), parts) is None


def test_another_release_begins_another_baseline(parts: ServerParts) -> None:
    see(parts, 1, noise=0.0, at_s=10 * DAY_S)
    look(facts(parts), parts)
    path = parts.data / "adaptation" / "baseline.json"
    path.write_text(path.read_text().replace("tiny-1-0", "older-0"))
    see(parts, 201, noise=0.35, at_s=12 * DAY_S)
    assert look(facts(parts), parts) is None
    assert "tiny-1-0" in path.read_text()
