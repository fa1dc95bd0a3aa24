"""Workers' links: which replica holds them, which jobs they answer for, and what replicas leave for each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("alive_until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
    )
    op.create_table(
        "links",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("replica", sa.String(length=64), nullable=False),
        sa.Column("alive_until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_links"),
    )
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.create_index("ix_links_replica", ["replica"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("job", sa.String(length=128), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("attached_at", BIG, nullable=False),
        sa.Column("silent_until", BIG, nullable=True),
        sa.Column("watched", sa.Boolean(), nullable=False),
        sa.Column("over", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["sessions.id"], name="fk_jobs_session", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", name="pk_jobs"),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("ix_jobs_session", ["session"], unique=False)
        batch_op.create_index("ix_jobs_silent_until", ["silent_until"], unique=False)
        batch_op.create_index("ix_jobs_watched_worker", ["watched", "worker"], unique=False)

    op.create_table(
        "mail",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("replica", sa.String(length=64), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
    )
    with op.batch_alter_table("mail", schema=None) as batch_op:
        batch_op.create_index("ix_mail_replica", ["replica"], unique=False)
