"""First tables: spools, cameras, persons, tracklets, observations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    op.create_table(
        "spools",
        sa.Column("spool_key", _Key, primary_key=True, autoincrement=False),
        sa.Column("edge_id", sa.Text, nullable=False),
        sa.Column("spool_id", sa.Text, nullable=False),
        _number("acked_seq"),
        _number("num_observations"),
        _number("last_seen_us"),
        sa.UniqueConstraint("edge_id", "spool_id", name="uq_spools_edge_id"),
    )
    op.create_table(
        "cameras",
        sa.Column("camera_key", _Key, primary_key=True, autoincrement=False),
        sa.Column("edge_id", sa.Text, nullable=False),
        sa.Column("camid", sa.Text, nullable=False),
        sa.UniqueConstraint("edge_id", "camid", name="uq_cameras_edge_id"),
    )
    op.create_table(
        "persons",
        sa.Column("person_id", _Key, primary_key=True, autoincrement=False),
        _number("created_us"),
        sa.Column("folded_into", sa.BigInteger, sa.ForeignKey("persons.person_id"), nullable=True),
    )
    _create_tracklets()
    _create_observations()


def _create_tracklets() -> None:
    op.create_table(
        "tracklets",
        sa.Column("tracklet_key", _Key, primary_key=True, autoincrement=False),
        sa.Column("camera_key", sa.BigInteger, sa.ForeignKey("cameras.camera_key"), nullable=False),
        _number("tracklet_id"),
        sa.Column("space", sa.Text, nullable=False),
        sa.Column("person_id", sa.BigInteger, sa.ForeignKey("persons.person_id"), nullable=False),
        _number("start_us"),
        _number("end_us"),
        _number("num_observations"),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("embedding_sum", sa.LargeBinary, nullable=False),
        sa.Column("is_closed", sa.Boolean, nullable=False),
        _number("updated_us"),
        sa.UniqueConstraint("camera_key", "tracklet_id", "space", name="uq_tracklets_camera_key"),
    )
    op.create_index("ix_tracklets_person_id", "tracklets", ["person_id"])
    op.create_index("ix_tracklets_start_us", "tracklets", ["start_us"])


def _create_observations() -> None:
    op.create_table(
        "observations",
        sa.Column("spool_key", sa.BigInteger, sa.ForeignKey("spools.spool_key"), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tracklet_key", sa.BigInteger, sa.ForeignKey("tracklets.tracklet_key"), nullable=False),
        _number("time_us"),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("x1", "y1", "x2", "y2", "quality")),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_observations_tracklet_key", "observations", ["tracklet_key"])


def downgrade() -> None:
    for name in ("observations", "tracklets", "persons", "cameras", "spools"):
        op.drop_table(name)
