"""The roll-outs in the records: what is decided is written here before an edge is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, Row, func, insert, select, update

from server.errors import NotFoundError
from server.releases.rollout import Rollout
from server.storage.database import explained
from server.storage.lease import Lease, owned_change
from server.storage.schema import rollouts


class RolloutLedger:
    """All roll-outs of one site. Any thread may use it; every method may raise StorageError.

    Args:
        engine: Made by `open_database`.
        lease: Checked in the transaction of every change.
    """

    def __init__(self, engine: Engine, *, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease

    @explained
    def open(self, make: Callable[[int], Rollout]) -> Rollout:
        """Write down a new roll-out.

        Args:
            make: Gives it for its rollout_key.
        """
        with owned_change(self._engine, self._lease) as connection:
            newest = connection.scalar(select(func.max(rollouts.c.rollout_key)))
            rollout = make((newest or 0) + 1)
            connection.execute(insert(rollouts).values(rollout_key=rollout.rollout_key, **_to_values(rollout)))
        return rollout

    @explained
    def save(self, rollout: Rollout) -> None:
        """Write down how a roll-out stands now."""
        query = update(rollouts).where(rollouts.c.rollout_key == rollout.rollout_key)
        with owned_change(self._engine, self._lease) as connection:
            connection.execute(query.values(_to_values(rollout)))

    @explained
    def latest(self) -> Rollout | None:
        """The roll-out that began last; None before the first."""
        query = select(rollouts).order_by(rollouts.c.rollout_key.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _to_rollout(row) if row is not None else None

    @explained
    def get(self, rollout_key: int) -> Rollout:
        """One roll-out.

        Raises:
            NotFoundError: There is none of that key.
        """
        with self._engine.connect() as connection:
            row = connection.execute(select(rollouts).where(rollouts.c.rollout_key == rollout_key)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no roll-out {rollout_key}")
        return _to_rollout(row)

    @explained
    def page(self, limit: int, *, before: int = 0) -> list[Rollout]:
        """Some roll-outs, the latest first.

        Args:
            limit: Most of them.
            before: Only roll-outs with a smaller key; 0 for the latest.
        """
        query = select(rollouts).order_by(rollouts.c.rollout_key.desc()).limit(limit)
        if before:
            query = query.where(rollouts.c.rollout_key < before)
        with self._engine.connect() as connection:
            return [_to_rollout(row) for row in connection.execute(query)]


def _to_values(rollout: Rollout) -> dict[str, Any]:
    return {
        "space": rollout.space,
        "state": rollout.state,
        "started_us": rollout.started_us,
        "changed_us": rollout.changed_us,
        "document": rollout.model_dump_json(),
    }


def _to_rollout(row: Row[Any]) -> Rollout:
    return Rollout.model_validate_json(row.document)
