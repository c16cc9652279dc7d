"""Indexes that answer alone: where, when and how often a person was seen, what of it has views; and who has a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TRACKLETS, _NAMES = "ix_tracklets_person_id", "ix_persons_name"
_IS_NAMED = sa.text("name IS NOT NULL")


def upgrade() -> None:
    op.drop_index(_TRACKLETS, "tracklets")
    columns = ["person_id", "camera_key", "start_us", "end_us", "num_observations", "has_views", "space"]
    op.create_index(_TRACKLETS, "tracklets", columns)
    op.create_index(_NAMES, "persons", ["name"], sqlite_where=_IS_NAMED, postgresql_where=_IS_NAMED)


def downgrade() -> None:
    op.drop_index(_NAMES, "persons")
    op.drop_index(_TRACKLETS, "tracklets")
    op.create_index(_TRACKLETS, "tracklets", ["person_id"])
