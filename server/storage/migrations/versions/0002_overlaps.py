"""An index for tracklets that overlap a span of time in one camera."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEX = "ix_tracklets_camera_key_end_us"


def upgrade() -> None:
    op.create_index(_INDEX, "tracklets", ["camera_key", "end_us"])


def downgrade() -> None:
    op.drop_index(_INDEX, "tracklets")
