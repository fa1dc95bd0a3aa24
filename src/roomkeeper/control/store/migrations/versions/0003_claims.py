"""Policies beside the sessions that they are for; claims that say what exactly is settled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and copy the policies out of the bodies."""
    op.add_column("sessions", sa.Column("policy", sa.Text(), nullable=False, server_default="{}"))
    postgres = op.get_bind().dialect.name == "postgresql"
    policy = "body::json ->> 'policy'" if postgres else "json_extract(body, '$.policy')"
    op.execute(f"UPDATE sessions SET policy = coalesce({policy}, '{{}}')")  # noqa: S608 - one of two constants
    op.add_column("outbox", sa.Column("asked", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("deliveries", sa.Column("claim", sa.String(length=64), nullable=True))
