"""Alembic's entry: `store.migrate` gives it the connection."""

from __future__ import annotations

from alembic import context

from roomkeeper.control.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter tables; Alembic then copies them.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
