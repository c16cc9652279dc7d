"""Bytes of crops per edge and UTC day: what was sent, and what may be asked for next.

What a request brings is known only afterwards: before, it is estimated from the mean size of the crops that this edge
sent; afterwards it is charged with what came, wanted or not. So no day's limit is passed by more than one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, insert, select, update

from server.storage.database import explained
from server.storage.schema import crop_traffic

_DAY_US = 86_400 * 1_000_000
_GUESSED_CROP_BYTES = 8192
"""Size of a crop of an edge that has sent none yet."""
_LARGEST_REQUEST_BYTES = (1 << 32) - 1
"""What the wire can say."""


class Allowance(NamedTuple):
    """What one request may ask for; no crops when the day's bytes are used up."""

    num_crops: int
    max_bytes: int


class EdgeDay(NamedTuple):
    """What an edge sent on one UTC day."""

    edge_id: str
    num_crops: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class EdgeTraffic:
    """What an edge sent.

    Attributes:
        spent_bytes: On the day asked for.
        mean_bytes: Of one crop, on all days.
    """

    spent_bytes: int = 0
    mean_bytes: float = _GUESSED_CROP_BYTES

    def allowance(self, *, limit_bytes: int, most_crops: int) -> Allowance:
        """What may be asked for next.

        Args:
            limit_bytes: What the edge may be made to send in one day.
            most_crops: Of one request.
        """
        left_bytes = limit_bytes - self.spent_bytes
        num_crops = min(most_crops, int(left_bytes / self.mean_bytes))
        if num_crops < 1:
            return Allowance(0, 0)
        return Allowance(num_crops, min(left_bytes, _LARGEST_REQUEST_BYTES))


def utc_day(time_us: int) -> int:
    """Days since the Unix epoch."""
    return time_us // _DAY_US


def us_until_next_day(time_us: int) -> int:
    """Until a new budget begins."""
    return _DAY_US - time_us % _DAY_US


@explained
def read_traffic(engine: Engine, edge_id: str, *, day: int) -> EdgeTraffic:
    """What an edge sent on a day, and how large its crops are.

    Raises:
        StorageError: It cannot be read.
    """
    columns = crop_traffic.c
    today = select(columns.num_bytes).where(columns.edge_id == edge_id, columns.day == day)
    ever = select(func.sum(columns.num_crops), func.sum(columns.num_bytes)).where(columns.edge_id == edge_id)
    with engine.connect() as connection:
        spent_bytes = connection.scalar(today) or 0
        num_crops, num_bytes = connection.execute(ever).one()
    return EdgeTraffic(int(spent_bytes), float(num_bytes) / int(num_crops) if num_crops else _GUESSED_CROP_BYTES)


@explained
def read_day(engine: Engine, *, day: int) -> list[EdgeDay]:
    """What all edges sent on a day, by edge_id; nothing of those that sent nothing.

    Raises:
        StorageError: It cannot be read.
    """
    columns = crop_traffic.c
    query = select(columns.edge_id, columns.num_crops, columns.num_bytes).where(columns.day == day)
    with engine.connect() as connection:
        return [EdgeDay(*row) for row in connection.execute(query.order_by(columns.edge_id))]


def charge(connection: Connection, edge_id: str, *, day: int, num_crops: int, num_bytes: int) -> None:
    """Note within a transaction what an edge sent."""
    columns = crop_traffic.c
    more = update(crop_traffic).where(columns.edge_id == edge_id, columns.day == day)
    values = {"num_crops": columns.num_crops + num_crops, "num_bytes": columns.num_bytes + num_bytes}
    if not connection.execute(more.values(values)).rowcount:
        row = {"edge_id": edge_id, "day": day, "num_crops": num_crops, "num_bytes": num_bytes}
        connection.execute(insert(crop_traffic).values(row))
