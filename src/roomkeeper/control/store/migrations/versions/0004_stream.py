"""The live stream's backlog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "stream",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("xact", BIG, nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stream"),
        sa.UniqueConstraint("session", "key", name="uq_stream_session_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_stream_xact_id", "stream", ["xact", "id"])
