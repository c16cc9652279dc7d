"""Carries out roll-outs: asks the pure rules what follows, writes it down, and only then lets edges know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from reid.errors import OspreyError
from reid.release import Release
from server.errors import ConflictError, NotFoundError, StorageError
from server.releases.advance import advance
from server.releases.fleet import FleetBook
from server.releases.ledger import RolloutLedger
from server.releases.registry import RegisteredRelease, ReleaseRegistry
from server.releases.repository import ReleaseRepository
from server.releases.rollout import Directive, Rollout, RolloutSettings, begin, directive_for, halt, pause, resume
from server.storage.records import AuditEntry
from server.types import Actor

logger = structlog.get_logger(__name__)

_SYSTEM = Actor("roll-out", "system")
_RETRY_S = 30.0
"""Until a failed `on_done` is tried again."""


class Roller:
    """The roll-outs of one site. `run` in a task.

    Args:
        registry: The releases.
        repository: Where edges download them.
        ledger: Where roll-outs are written down.
        book: What the edges say.
        settings: How a release gets to the edges.
        append_audit: Adds to the audit log; called in a thread.
        clock_us: Microseconds since the Unix epoch.
        on_begin: Awaited before the first edge is told of a release, so that its space is known.
        on_done: Awaited when all edges have it; moves the gallery. Then the release is written down as served. Until
            that has happened it is called again, after a restart too.
    """

    def __init__(
        self,
        registry: ReleaseRegistry,
        repository: ReleaseRepository,
        ledger: RolloutLedger,
        book: FleetBook,
        *,
        settings: RolloutSettings,
        append_audit: Callable[[AuditEntry], None],
        clock_us: Callable[[], int],
        on_begin: Callable[[Release], Awaitable[None]],
        on_done: Callable[[Release], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._ledger = ledger
        self._book = book
        self._settings = settings
        self._append_audit = append_audit
        self._clock_us = clock_us
        self._on_begin = on_begin
        self._on_done = on_done
        self._turn = asyncio.Lock()
        self._latest = ledger.latest()
        self._finishing: asyncio.Task[None] | None = None
        self._finished_key = 0

    @property
    def latest(self) -> Rollout | None:
        """The roll-out that began last, as it is written down."""
        return self._latest

    def directive_for(self, edge_id: str) -> Directive | None:
        """What an edge is to be told; None for nothing."""
        return directive_for(self._latest, edge_id)

    async def start(self, space: str, actor: Actor, *, force: bool = False) -> Rollout:
        """Begin to bring a release to the edges.

        Args:
            space: Of a registered release.
            actor: Who wants it.
            force: Even if the gate refused it, or a roll-out of it was halted.

        Raises:
            NotFoundError: There is no such release.
            ConflictError: Another roll-out is under way, the release is served already, or may not be rolled out.
            ReleaseError: It is damaged.
            SecurityError: It cannot be signed.
            StorageError: Nothing was begun.
        """
        async with self._turn:
            await self._check_free()
            known = await asyncio.to_thread(self._check_release, space, force)
            previous = await asyncio.to_thread(self._registry.served)
            if known.state != "released":
                known = await asyncio.to_thread(self._registry.force, space, actor.name)
                await self._audit(actor, "force release", space)
            release = await asyncio.to_thread(self._registry.release, space)
            await self._on_begin(release)
            await asyncio.to_thread(self._publish, release, previous)
            parents = await asyncio.to_thread(self._parents)
            now_us = self._clock_us()

            def make(rollout_key: int) -> Rollout:
                return begin(
                    rollout_key=rollout_key,
                    space=space,
                    previous=previous,
                    parents=parents,
                    settings=self._settings,
                    now_us=now_us,
                )

            self._latest = await asyncio.to_thread(self._ledger.open, make)
            await self._audit(actor, "roll-out start", space)
            logger.info("roll-out started", space=space, previous=previous, actor=actor.name)
            return self._latest

    async def pause(self, actor: Actor) -> Rollout:
        """Ask nobody else for now.

        Raises:
            NotFoundError: There was no roll-out yet.
            ConflictError: None is running.
        """
        return await self._change("roll-out pause", actor, lambda rollout: pause(rollout, f"paused by {actor.name}"))

    async def resume(self, actor: Actor) -> Rollout:
        """Go on.

        Raises:
            NotFoundError: There was no roll-out yet.
            ConflictError: None is paused.
        """
        return await self._change("roll-out resume", actor, resume)

    async def abort(self, reason: str, actor: Actor) -> Rollout:
        """Bring its edges back to the release before.

        Raises:
            NotFoundError: There was no roll-out yet.
            ConflictError: None is under way.
        """
        text = f"aborted by {actor.name}" + (f": {reason}" if reason else "")
        return await self._change("roll-out abort", actor, lambda rollout: halt(rollout, text, now_us=self._clock_us()))

    async def step(self) -> None:
        """Do what follows from what the edges say.

        Raises:
            StorageError: It could not be written down, and no edge is told.
        """
        async with self._turn:
            before = self._latest
            if before is None:
                return
            after = advance(before, self._book.fleet(), self._settings)
            if after != before:
                await self._save(before, after)
                if after.state == "rolling_back" and before.state == "running":
                    await asyncio.to_thread(self._registry.withdraw, after.space)
            await self._withdraw_files(before, after)
        self._finish_in_background()

    async def run(self) -> None:
        """Step for ever."""
        try:
            while True:
                try:
                    await self.step()
                except OspreyError as error:
                    logger.warning("roll-out waits", error=str(error))
                await asyncio.sleep(self._settings.tick_s)
        finally:
            if self._finishing is not None:
                self._finishing.cancel()

    async def finished(self) -> None:
        """Wait until `on_done` of the latest roll-out has ended, if it was begun."""
        if self._finishing is not None:
            await self._finishing

    async def _change(self, what: str, actor: Actor, move: Callable[[Rollout], Rollout]) -> Rollout:
        async with self._turn:
            before = self._latest
            if before is None:
                raise NotFoundError("there was no roll-out yet: 'osprey-server rollout start SPACE' begins one")
            after = move(before)
            await self._save(before, after)
            await self._audit(actor, what, after.space)
            await self._withdraw_files(before, after)
            return after

    async def _save(self, before: Rollout, after: Rollout) -> None:
        """Write down what was decided; only then is it what edges are told."""
        after = after.with_(changed_us=self._clock_us())
        await asyncio.to_thread(self._ledger.save, after)
        self._latest = after
        if (after.state, after.ring) != (before.state, before.ring):
            logger.info("roll-out", space=after.space, state=after.state, ring=after.ring, reason=after.reason)
            if after.state != before.state:
                await self._audit(_SYSTEM, f"roll-out {after.state}", after.space, after.reason or "done")

    async def _withdraw_files(self, before: Rollout, after: Rollout) -> None:
        """Nobody shall download a release that is taken back."""
        if after.state != "rolling_back" or before.state == "rolling_back":
            return
        try:
            await asyncio.to_thread(self._repository.withdraw, after.space)
        except (OspreyError, OSError) as error:  # edges are brought back all the same
            logger.error("release not withdrawn from the repository", space=after.space, error=str(error))

    def _finish_in_background(self) -> None:
        rollout = self._latest
        if rollout is None or rollout.state != "done" or rollout.rollout_key == self._finished_key:
            return
        if self._finishing is None or self._finishing.done():
            self._finishing = asyncio.create_task(self._finish(rollout))

    async def _finish(self, rollout: Rollout) -> None:
        """Move the gallery, once per roll-out, however often the server starts anew in between."""
        try:
            if await asyncio.to_thread(self._registry.served) != rollout.space:
                await self._on_done(await asyncio.to_thread(self._registry.release, rollout.space))
                await asyncio.to_thread(self._registry.set_served, rollout.space)
                logger.info("release served", space=rollout.space)
            self._finished_key = rollout.rollout_key
        except Exception:  # of whatever was called back; a server that serves the old space is better than none
            logger.exception("the gallery has not moved, another try follows", space=rollout.space, in_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _check_free(self) -> None:
        latest = self._latest
        if latest is None:
            return
        if latest.is_active:
            raise ConflictError(f"the roll-out of {latest.space} is {latest.state}: wait for it, or abort it")
        if latest.state == "done" and await asyncio.to_thread(self._registry.served) != latest.space:
            raise ConflictError(f"the gallery is still moving to {latest.space}: wait for it")

    def _check_release(self, space: str, force: bool) -> RegisteredRelease:
        known = self._registry.get(space)
        if known.is_served:
            raise ConflictError(f"release {space} is served already")
        if known.state != "released" and not force:
            why = known.verdict.summary if known.verdict and known.state == "refused" else "a roll-out of it was halted"
            raise ConflictError(f"release {space} is {known.state}: {why}. An operator can force it: --force")
        return known

    def _publish(self, release: Release, previous: str) -> None:
        self._repository.publish(self._registry.release(previous))  # so that every edge can go back
        self._repository.publish(release)

    def _parents(self) -> Mapping[str, str]:
        return {item.ref.space: item.manifest.parent for item in self._registry.list() if item.manifest.parent}

    async def _audit(self, actor: Actor, what: str, subject: str, outcome: str = "done") -> None:
        entry = AuditEntry(time_us=self._clock_us(), actor=actor, what=what, subject=subject, outcome=outcome)
        try:
            await asyncio.to_thread(self._append_audit, entry)
        except StorageError as error:
            logger.error("not written to the audit log", what=what, subject=subject, error=str(error))
