"""Alembic's migrations of the PostgreSQL schema; run by ``greffier db upgrade``."""
