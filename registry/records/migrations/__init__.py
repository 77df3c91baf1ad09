"""Alembic's migrations of the record database, run by every service that uses it."""
