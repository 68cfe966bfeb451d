"""Captured content, encrypted, and its wrapped keys.

Deleted rows stay in PostgreSQL's files until a vacuum comes by. These tables ask for one after every deletion instead
of waiting until a fifth of the table is gone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SOON = "ALTER TABLE {} SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "part",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.Text, nullable=False, server_default=""),
        sa.Column("use_case", sa.Text, nullable=False, server_default=""),
        sa.Column("purpose", sa.Text, nullable=False, server_default=""),
        sa.Column("data_classes", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("part_event", "part", ["tenant", "event_id"])
    op.create_index("part_age", "part", ["stored_ms"])
    op.create_index("part_subject", "part", ["tenant", "subject"])
    op.create_table(
        "erasure_mark",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("applied", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "epoch_key",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "data_key",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    for table in ("part", "epoch_key", "data_key"):
        op.execute(_SOON.format(table))
