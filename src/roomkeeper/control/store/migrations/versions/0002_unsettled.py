"""Which ended sessions still have a room, or a report to send: they are looked after at every start and round."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take every session for unsettled: the first start finds out."""
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("unsettled", sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.create_index("ix_sessions_unsettled_opened_at", ["unsettled", "opened_at"], unique=False)
