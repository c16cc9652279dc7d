"""The index of a person's tracklets tells camera and span too: who was where and when is found without the rows."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEX = "ix_tracklets_person_id"


def upgrade() -> None:
    op.drop_index(_INDEX, "tracklets")
    op.create_index(_INDEX, "tracklets", ["person_id", "camera_key", "start_us", "end_us"])


def downgrade() -> None:
    op.drop_index(_INDEX, "tracklets")
    op.create_index(_INDEX, "tracklets", ["person_id"])
