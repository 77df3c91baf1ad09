"""Alembic's environment: it runs on the connection that the service gives it."""

from __future__ import annotations

from alembic import context

from registry.records.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
