"""How far each sink is, and what it refused for good."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create its tables."""
    op.create_table(
        "sink_progress",
        sa.Column("sink", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "sink_rejected",
        sa.Column("number", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("sink", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.UniqueConstraint("sink", "id"),
    )
