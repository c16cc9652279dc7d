"""Adaptation runs in the records. What is written here is written before it is done."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, Engine, func, insert, select, update

from server.adaptation.run import ACTIVE, AdaptationRun, from_document, to_document
from server.errors import ConflictError, NotFoundError
from server.storage.database import explained
from server.storage.lease import Lease, owned_change
from server.storage.schema import adaptation_runs, tracklets


class RunBook:
    """All runs.

    Args:
        engine: Of the records.
        lease: Checked in the transaction of every change.
    """

    def __init__(self, engine: Engine, *, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease

    @explained
    def begin(self, run: AdaptationRun) -> AdaptationRun:
        """Store a new run, if none is under way.

        Returns:
            The run with its number, and with the tracklets marked that it begins with.

        Raises:
            ConflictError: One is under way.
        """
        with owned_change(self._engine, self._lease) as connection:
            self._check_none_active(connection)
            first = 1 + (connection.scalar(select(func.max(tracklets.c.tracklet_key))) or 0)
            run = replace(run, first_tracklet_key=first)
            insertion = insert(adaptation_runs).values(_row(run)).returning(adaptation_runs.c.run_key)
            run = replace(run, run_key=int(connection.execute(insertion).scalar_one()))
            _write(connection, run)
        return run

    @explained
    def save(self, run: AdaptationRun) -> AdaptationRun:
        """Store a run as it stands now, and return it."""
        with owned_change(self._engine, self._lease) as connection:
            _write(connection, run)
        return run

    @explained
    def revive(self, run: AdaptationRun) -> AdaptationRun:
        """Store a run that goes on, if no other is under way.

        Raises:
            ConflictError: One is.
        """
        with owned_change(self._engine, self._lease) as connection:
            self._check_none_active(connection)
            _write(connection, run)
        return run

    @explained
    def find(self, run_key: int) -> AdaptationRun:
        """A run; the latest for 0.

        Raises:
            NotFoundError: There is none.
        """
        query = select(adaptation_runs.c.document)
        if run_key:
            query = query.where(adaptation_runs.c.run_key == run_key)
        with self._engine.connect() as connection:
            document = connection.scalar(query.order_by(adaptation_runs.c.run_key.desc()).limit(1))
        if document is None:
            raise NotFoundError(f"there is no adaptation run {run_key or 'yet'}: 'osprey-server adapt list' lists them")
        return from_document(document)

    def latest(self) -> AdaptationRun | None:
        """The latest run, if there is one."""
        found = self.page(1)
        return found[0] if found else None

    @explained
    def page(self, limit: int, *, before: int = 0) -> list[AdaptationRun]:
        """Some runs, the latest first.

        Args:
            limit: Most of them.
            before: Only runs with a smaller number; 0 for the latest.
        """
        query = select(adaptation_runs.c.document).order_by(adaptation_runs.c.run_key.desc()).limit(limit)
        if before:
            query = query.where(adaptation_runs.c.run_key < before)
        with self._engine.connect() as connection:
            return [from_document(document) for document in connection.scalars(query)]

    @explained
    def active(self) -> AdaptationRun | None:
        """The run that is under way."""
        with self._engine.connect() as connection:
            document = connection.scalar(select(adaptation_runs.c.document).where(_IS_ACTIVE))
        return None if document is None else from_document(document)

    @explained
    def num_tracklets(self, *, first_key: int) -> int:
        """Tracklets stored from a key on."""
        query = select(func.count()).select_from(tracklets).where(tracklets.c.tracklet_key >= first_key)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _check_none_active(self, connection: Connection) -> None:
        active = connection.scalar(select(adaptation_runs.c.run_key).where(_IS_ACTIVE))
        if active is not None:
            raise ConflictError(
                f"adaptation run {active} is under way: wait for it, or 'osprey-server adapt stop {active}'"
            )


_IS_ACTIVE = adaptation_runs.c.state.in_(ACTIVE)


def _row(run: AdaptationRun) -> dict[str, object]:
    return {
        "state": run.state,
        "started_us": run.started_us,
        "changed_us": run.changed_us,
        "document": to_document(run),
    }


def _write(connection: Connection, run: AdaptationRun) -> None:
    connection.execute(update(adaptation_runs).where(adaptation_runs.c.run_key == run.run_key).values(_row(run)))
