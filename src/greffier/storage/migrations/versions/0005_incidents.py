"""The register of incidents: versions are added, and neither changed nor deleted, as in SQLite."""

from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = """
CREATE TABLE incident (
    id text NOT NULL,
    version integer NOT NULL,
    at_ms bigint NOT NULL,
    by text NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE TRIGGER incident_frozen BEFORE UPDATE OR DELETE ON incident FOR EACH ROW
    EXECUTE FUNCTION privacy_refuse('versions of incidents are only added');
"""


def upgrade() -> None:
    """Create its table."""
    op.get_bind().exec_driver_sql(_TABLES)
