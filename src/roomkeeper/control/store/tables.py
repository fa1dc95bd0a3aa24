"""The tables. JSON is text, written by `lifecycle.codec`; times are milliseconds since the Unix epoch."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BIG = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("room", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("opened_at", BIG, nullable=False),
    Column("ended_at", BIG),
    Column("lines", Integer, nullable=False),  # of the journal: the number of the last one
    # It goes on, or has ended and its room lives or its report waits.
    Column("unsettled", Boolean, nullable=False, server_default=true()),
    # Never changes, and is half of a session: written once, beside the body that every event writes anew.
    Column("policy", Text, nullable=False, server_default="{}"),
    Column("body", Text, nullable=False),
    UniqueConstraint("room", "generation"),
    Index(None, "state", "opened_at"),
    Index(None, "opened_at"),
    Index(None, "unsettled", "opened_at"),
)

journal = Table(
    "journal",
    metadata,
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("at", BIG, nullable=False),
    Column("body", Text, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    # What else a session is known by: `RM_…`, `AJ_…`, `EG_…`.
    Column("alias", String(128), primary_key=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    # One row a session and key: asking again for what is pending replaces it (level-triggered writes, alarms).
    Column("key", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("due_at", BIG, nullable=False),
    Column("claim", String(64)),
    Column("claimed_until", BIG, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    Column("asked", Integer, nullable=False, server_default="1"),  # how often; who settles names what they carried out
    Column("asked_at", BIG, nullable=False),
    Column("parked_at", BIG),
    Column("error", Text),
    UniqueConstraint("session", "key"),
    Index(None, "parked_at", "due_at"),
)

stream = Table(
    "stream",
    metadata,
    # What the live stream tells, for a day at most; `xact` is the transaction that wrote it on PostgreSQL.
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("xact", BIG, nullable=False),
    Column("session", String(64), nullable=False),
    Column("key", String(64), nullable=False),
    Column("room", Text, nullable=False),
    Column("topic", String(64), nullable=False),
    Column("at", BIG, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("session", "key"),
    Index(None, "xact", "id"),
    sqlite_autoincrement=True,  # else the number of a deleted last row would be given out again
)

told = Table(
    "told",
    metadata,
    # Webhooks and link frames that were taken, so that a repetition changes nothing.
    Column("source", String(160), primary_key=True),
    Column("at", BIG, nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(160), primary_key=True),  # the `webhook-id`
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("receiver", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("due_at", BIG, nullable=False),
    Column("claim", String(64)),
    Column("claimed_until", BIG, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    Column("delivered_at", BIG),
    Column("parked_at", BIG),
    Column("error", Text),
    Index(None, "delivered_at", "parked_at", "due_at"),
)

# The agent link, see `control.link`.

replicas = Table(
    "replicas",
    metadata,
    # Processes of the control plane that can hear their workers.
    Column("id", String(64), primary_key=True),
    Column("alive_until", BIG, nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("worker", Text, primary_key=True),
    # The latest connection of this worker, and the replica that holds it or answers for it.
    Column("connection", String(64), nullable=False),
    Column("replica", String(64), nullable=False, index=True),
    # The lease of all of its jobs: one row to write for each heartbeat.
    Column("alive_until", BIG, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job", String(128), primary_key=True),
    Column("session", ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("worker", Text, nullable=False),  # who answers for it
    Column("metadata", Text, nullable=False),  # of the dispatch that made it
    Column("attached_at", BIG, nullable=False),
    # The lease of this job alone, since the worker stopped naming it; null while it does.
    Column("silent_until", BIG, index=True),
    Column("watched", Boolean, nullable=False),  # its lease may still run out
    Column("over", Boolean, nullable=False),  # its worker said `done` or `lost`
    Index(None, "watched", "worker"),
)

mail = Table(
    "mail",
    metadata,
    # What one replica has to say to a job whose worker is linked to another.
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("replica", String(64), nullable=False, index=True),
    Column("session", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BIG, nullable=False),
)
