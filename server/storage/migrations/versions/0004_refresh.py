"""Crops, adaptation runs, releases and roll-outs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLES = ("crops", "crop_traffic", "crop_erasures", "tracklet_means", "adaptation_runs", "releases", "rollouts")


def _numbers(*names: str, primary_key: bool = False) -> list[sa.Column[int]]:
    return [
        sa.Column(name, sa.BigInteger, primary_key=primary_key, nullable=False, autoincrement=False) for name in names
    ]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _tracklet(*, primary_key: bool) -> sa.Column[int]:
    return sa.Column(
        "tracklet_key",
        sa.BigInteger,
        sa.ForeignKey("tracklets.tracklet_key"),
        primary_key=primary_key,
        nullable=False,
        autoincrement=False,
    )


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, _Key, primary_key=True, autoincrement=True)


def upgrade() -> None:
    op.create_table(
        "crops",
        *_numbers("spool_key", "seq", primary_key=True),
        _tracklet(primary_key=False),
        *_numbers("time_us", "num_bytes", "received_us"),
    )
    op.create_index("ix_crops_tracklet_key", "crops", ["tracklet_key"])
    op.create_index("ix_crops_received_us", "crops", ["received_us"])
    op.create_table(
        "crop_traffic",
        sa.Column("edge_id", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        *_numbers("num_crops", "num_bytes"),
    )
    op.create_table("crop_erasures", *_numbers("spool_key", "seq", primary_key=True), *_numbers("erased_us"))
    op.create_table(
        "tracklet_means",
        _tracklet(primary_key=True),
        sa.Column("space", sa.Text, primary_key=True),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
    )
    moments = ("started_us", "changed_us")
    op.create_table("adaptation_runs", _key("run_key"), *_texts("state"), *_numbers(*moments), *_texts("document"))
    op.create_table(
        "releases",
        sa.Column("space", sa.Text, primary_key=True),
        *_texts("name", "version"),
        sa.Column("parent", sa.Text, nullable=True),
        *_texts("state"),
        sa.Column("is_served", sa.Boolean, nullable=False),
        *_numbers("registered_us"),
        *_texts("document"),
    )
    op.create_table(
        "rollouts", _key("rollout_key"), *_texts("space", "state"), *_numbers(*moments), *_texts("document")
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
