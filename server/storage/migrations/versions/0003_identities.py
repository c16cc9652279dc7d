"""Names, lineage and links of identities; the audit log; the lease; what retention and erasure need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INDEXES = {
    "identity_moves": (("tracklet_key",), ("from_person",), ("to_person",)),
    "identity_persons": (("person_id",),),
    "links": (("event_key",), ("one_tracklet_key",), ("other_tracklet_key",)),
    "audit": (("time_us",),),
    "persons": (("folded_into",),),
    "tracklets": (("has_views", "updated_us"),),
}


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _reference(name: str, target: str, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(
        name,
        sa.BigInteger,
        sa.ForeignKey(target),
        primary_key=primary_key,
        nullable=nullable,
        autoincrement=False,
    )


def upgrade() -> None:
    op.add_column("spools", sa.Column("num_deleted", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("persons", sa.Column("name", sa.Text, nullable=True))
    op.add_column("persons", _number("erased_us", nullable=True))
    op.add_column("persons", _number("confirmed_us", nullable=True))
    op.execute("UPDATE persons SET confirmed_us = created_us")  # nobody was provisional before
    op.add_column("tracklets", sa.Column("has_views", sa.Boolean, nullable=False, server_default=sa.true()))
    _create_lineage()
    _create_links()
    _create_audit_and_lease()
    for table, indexes in _INDEXES.items():
        for columns in indexes:
            op.create_index("_".join(("ix", table, *columns)), table, list(columns))


def _create_lineage() -> None:
    op.create_table(
        "identity_events",
        sa.Column("event_key", _Key, primary_key=True, autoincrement=True),
        _number("time_us"),
        *_texts("kind", "actor"),
        _reference("undone_by", "identity_events.event_key", nullable=True),
    )
    op.create_table(
        "identity_moves",
        _reference("event_key", "identity_events.event_key", primary_key=True),
        _reference("tracklet_key", "tracklets.tracklet_key", primary_key=True),
        _number("from_person"),
        _number("to_person"),
    )
    op.create_table(
        "identity_persons",
        _reference("event_key", "identity_events.event_key", primary_key=True),
        _reference("person_id", "persons.person_id", primary_key=True),
        sa.Column("change", sa.Text, primary_key=True),
        _number("other_person", nullable=True),
        *_texts("old_name", "new_name", nullable=True),
    )


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("link_key", _Key, primary_key=True, autoincrement=True),
        _reference("event_key", "identity_events.event_key"),
        _reference("one_tracklet_key", "tracklets.tracklet_key"),
        _reference("other_tracklet_key", "tracklets.tracklet_key"),
        *_texts("kind"),
    )


def _create_audit_and_lease() -> None:
    op.create_table(
        "audit",
        sa.Column("entry_key", _Key, primary_key=True, autoincrement=True),
        _number("time_us"),
        *_texts("actor", "role", "what", "subject", "outcome"),
    )
    table = op.create_table(
        "lease",
        sa.Column("lease_key", sa.Integer, primary_key=True, autoincrement=False),
        *_texts("holder"),
        _number("token"),
        _number("expires_us"),
    )
    op.bulk_insert(table, [{"lease_key": 1, "holder": "", "token": 0, "expires_us": 0}])


def downgrade() -> None:
    for table in ("persons", "tracklets"):
        for columns in _INDEXES[table]:
            op.drop_index("_".join(("ix", table, *columns)), table)
    for table in ("lease", "audit", "links", "identity_persons", "identity_moves", "identity_events"):
        op.drop_table(table)
    for table, column in (
        ("tracklets", "has_views"),
        ("persons", "confirmed_us"),
        ("persons", "erased_us"),
        ("persons", "name"),
        ("spools", "num_deleted"),
    ):
        op.drop_column(table, column)
