from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes_fleet import NEW, OLD, QUICK, FakeEdge
from releases import write_tiny_release
from sqlalchemy import Engine

from reid.release import Release, write_release
from server.errors import ConflictError, LeaseLostError, NotFoundError, StorageError
from server.gate.verdict import Check, Verdict
from server.releases.fleet import FleetBook
from server.releases.ledger import RolloutLedger
from server.releases.registry import ReleaseRegistry
from server.releases.repository import ReleaseRepository
from server.releases.roller import Roller
from server.releases.rollout import begin
from server.storage.database import StorageSettings, open_database
from server.storage.lease import Lease
from server.storage.records import AuditEntry
from server.types import Actor

ANN = Actor("ann", "operator")
REFUSED = Verdict(
    is_accepted=False, checks=(Check(name="map", value=0.3, bound=0.4, is_passed=False, reason="0.3 is below 0.4"),)
)


class FakeServer:
    """All parts of the roll-outs of a server, on a clock of their own."""

    def __init__(self, data: Path, engine: Engine) -> None:
        self.now_us = 1_000_000_000
        self.calls: list[str] = []
        self.audit: list[AuditEntry] = []
        self.failures: list[Exception] = []
        """Raised by the next `on_done`."""
        self.engine = engine
        self.registry = ReleaseRegistry(engine, data / "releases", clock_us=lambda: self.now_us)
        self.repository = ReleaseRepository(data)
        self.repository.make()
        self.restart()

    def restart(self) -> None:
        self.book = FleetBook(QUICK, clock_us=lambda: self.now_us)
        self.ledger = RolloutLedger(self.engine)
        self.roller = Roller(
            self.registry,
            self.repository,
            self.ledger,
            self.book,
            settings=QUICK,
            append_audit=self.audit.append,
            clock_us=lambda: self.now_us,
            on_begin=self._note("begin"),
            on_done=self._note("done"),
        )

    def _note(self, what: str) -> Callable[[Release], Awaitable[None]]:
        async def called(release: Release) -> None:
            self.calls.append(f"{what} {release.manifest.space}")
            if what == "done" and self.failures:
                raise self.failures.pop()

        return called

    async def run_until(self, edges: list[FakeEdge], is_over: Callable[[], bool], *, most: int = 200) -> None:
        for _ in range(most):
            self.now_us += 1_000_000
            for edge in edges:
                edge.live(1.0)
                self.book.note(edge.report())
            await self.roller.step()
            for edge in edges:
                edge.hear(self.roller.directive_for(edge.edge_id))
            if is_over():
                return
        raise AssertionError(str(self.roller.latest))

    def is_in(self, *states: str) -> Callable[[], bool]:
        return lambda: self.roller.latest is not None and self.roller.latest.state in states


@pytest.fixture
def server(tmp_path: Path) -> Any:
    engine = open_database(StorageSettings(), data=_made(tmp_path / "data"))
    server = FakeServer(tmp_path / "data", engine)
    server.registry.open_served(write_tiny_release(tmp_path / "one"))
    candidate = write_tiny_release(tmp_path / "two", seed=1, version="2")
    values = candidate.manifest.model_dump(mode="json", exclude={"sha256"})
    write_release(candidate.folder, {**values, "parent": OLD})
    server.registry.register(candidate.folder, Verdict(is_accepted=True, checks=()))
    yield server
    engine.dispose()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_release_gets_to_all_edges_and_is_served_then(server: FakeServer) -> None:
    edges = [FakeEdge("edge1"), FakeEdge("edge2")]

    async def run() -> None:
        await server.roller.start(NEW, ANN)
        assert server.calls == [f"begin {NEW}"]
        assert server.registry.served() == OLD
        await server.run_until(edges, server.is_in("done"))
        await server.roller.finished()

    asyncio.run(run())
    assert server.calls == [f"begin {NEW}", f"done {NEW}"]
    assert server.registry.served() == NEW
    assert {edge.space for edge in edges} == {NEW}
    assert server.repository.list_spaces() == [OLD, NEW]
    assert [(entry.actor.name, entry.what) for entry in server.audit] == [
        ("ann", "roll-out start"),
        ("roll-out", "roll-out done"),
    ]


def test_halted_release_is_withdrawn_and_takes_force_to_start_again(server: FakeServer) -> None:
    edge = FakeEdge("edge1", refuses="broken")

    async def run() -> None:
        await server.roller.start(NEW, ANN)
        await server.run_until([edge], server.is_in("aborted"))
        assert server.registry.get(NEW).state == "withdrawn"
        assert server.repository.list_spaces() == [OLD]
        with pytest.raises(ConflictError, match="halted"):
            await server.roller.start(NEW, ANN)
        await server.roller.start(NEW, ANN, force=True)

    asyncio.run(run())
    assert server.repository.list_spaces() == [OLD, NEW]
    assert "force release" in [entry.what for entry in server.audit]
    assert server.audit[1].outcome == "edge1 refused: broken"


def test_refused_release_takes_force(server: FakeServer) -> None:
    server.registry.register(server.registry.release(NEW).folder, REFUSED)

    async def run() -> None:
        with pytest.raises(ConflictError, match=r"0\.3 is below 0\.4"):
            await server.roller.start(NEW, ANN)
        await server.roller.start(NEW, ANN, force=True)

    asyncio.run(run())
    verdict = server.registry.get(NEW).verdict
    assert verdict is not None
    assert verdict.forced_by == "ann"


def test_only_one_roll_out_at_a_time(server: FakeServer) -> None:
    async def run() -> None:
        await server.roller.start(NEW, ANN)
        with pytest.raises(ConflictError, match="is running"):
            await server.roller.start(NEW, ANN)
        await server.roller.pause(ANN)
        with pytest.raises(ConflictError, match="is paused"):
            await server.roller.start(NEW, ANN)
        await server.roller.abort("enough", ANN)

    asyncio.run(run())
    assert server.roller.latest is not None
    assert server.roller.latest.reason == "aborted by ann: enough"
    assert server.registry.get(NEW).state == "released"  # an operator's abort says nothing of the release


@pytest.mark.parametrize("moment", ["waiting", "asked", "installed"])
def test_restart_goes_on_where_it_was(server: FakeServer, moment: str) -> None:
    edges = [FakeEdge("edge1"), FakeEdge("edge2")]

    def is_at_moment() -> bool:
        latest = server.roller.latest
        return latest is not None and moment in {edge.state for edge in latest.edges.values()}

    async def run() -> None:
        await server.roller.start(NEW, ANN)
        await server.run_until(edges, is_at_moment)
        before = server.roller.latest
        server.restart()
        assert server.roller.latest == before
        await server.run_until(edges, server.is_in("done"))

    asyncio.run(run())
    assert {edge.space for edge in edges} == {NEW}


def test_gallery_is_moved_after_a_restart_between_done_and_moved(server: FakeServer) -> None:
    async def run() -> None:
        await server.roller.start(NEW, ANN)
        server.failures.append(RuntimeError("killed in the middle"))
        await server.run_until([FakeEdge("edge1")], server.is_in("done"))
        await asyncio.sleep(0.05)
        assert server.registry.served() == OLD
        with pytest.raises(ConflictError, match="still moving"):
            await server.roller.start(NEW, ANN)
        server.restart()
        await server.roller.step()
        await server.roller.finished()

    asyncio.run(run())
    assert server.calls == [f"begin {NEW}", f"done {NEW}", f"done {NEW}"]
    assert server.registry.served() == NEW


def test_no_edge_is_told_what_is_not_written_down(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise StorageError("disk full")

    async def run() -> None:
        await server.roller.start(NEW, ANN)
        monkeypatch.setattr(server.ledger, "save", fail)
        with pytest.raises(StorageError, match="disk full"):
            await server.run_until([FakeEdge("edge1")], server.is_in("done"))

    asyncio.run(run())
    assert server.roller.directive_for("edge1") is None


@pytest.mark.parametrize(
    ("space", "error", "text"),
    [("other", NotFoundError, "'other'"), (OLD, ConflictError, "is served already")],
    ids=["unknown", "served"],
)
def test_release_that_cannot_be_rolled_out_is_refused(
    server: FakeServer, space: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        asyncio.run(server.roller.start(space, ANN, force=True))
    assert server.ledger.latest() is None


def test_nothing_to_pause_is_said(server: FakeServer) -> None:
    with pytest.raises(NotFoundError, match="no roll-out yet"):
        asyncio.run(server.roller.pause(ANN))


def test_server_that_lost_its_lease_writes_no_roll_out(server: FakeServer) -> None:
    lost, mine = (
        Lease(server.engine, holder=name, duration_s=10, clock_us=lambda now_us=now_us: now_us)  # type: ignore[misc]
        for name, now_us in (("one", 0), ("other", 1 << 40))
    )
    lost.take(), mine.take()
    ledger = RolloutLedger(server.engine, lease=lost)
    with pytest.raises(LeaseLostError, match="another server"):
        ledger.open(lambda key: begin(rollout_key=key, space=NEW, previous=OLD, parents={}, settings=QUICK, now_us=0))
    assert ledger.latest() is None


def test_all_roll_outs_are_kept(server: FakeServer) -> None:
    async def run() -> None:
        for number in (1, 2):
            started = await server.roller.start(NEW, ANN)
            assert started.rollout_key == number
            await server.roller.abort("", ANN)
            await server.run_until([], server.is_in("aborted"))

    asyncio.run(run())
    assert server.ledger.get(1).state == "aborted"
    with pytest.raises(NotFoundError, match="no roll-out 3"):
        server.ledger.get(3)


def test_a_release_that_all_edges_have_is_rolled_back_by_another_rollout(server: FakeServer) -> None:
    edges = [FakeEdge("edge1"), FakeEdge("edge2")]

    async def run() -> None:
        for space in (NEW, OLD):
            await server.roller.start(space, ANN)
            await server.run_until(edges, server.is_in("done"))
            await server.roller.finished()

    asyncio.run(run())
    assert server.registry.served() == OLD
    assert {edge.space for edge in edges} == {OLD}
    assert [rollout.space for rollout in server.ledger.page(9)] == [OLD, NEW]
    assert [rollout.space for rollout in server.ledger.page(9, before=2)] == [NEW]
