"""API keys, and what was spent per day."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("use_case", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("principal_type", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.Column("revoked_reason", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("successor", sa.Text, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False, index=True),
    )
    store = op.create_table(
        "api_key_store",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(store, [{"id": 1, "schema": 1, "store": secrets.token_hex(8), "generation": 0}])
    op.create_table(
        "spend",
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("use_case", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("micro", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "tenant", "credential", "use_case", "model"),
    )
    op.create_table(
        "spend_cursor",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
