"""Reviews: who decides, whether in time, and whether an approval is used once, is settled by the database."""

from alembic import op

revision = "0006"
down_revision = "0005"

_TABLES = """
CREATE TABLE review (
    id text PRIMARY KEY,
    principal text NOT NULL,
    digest text NOT NULL,
    opened_ms bigint NOT NULL,
    deadline_ms bigint NOT NULL,
    valid_ms bigint NOT NULL,
    decision text NOT NULL CHECK (decision IN ('', 'approved', 'rejected')),
    decided_by text NOT NULL,
    decided_ms bigint NOT NULL CHECK (decided_ms < deadline_ms),
    reason text NOT NULL,
    used_by text NOT NULL CHECK (used_by = '' OR decision = 'approved'),
    opened bytea NOT NULL,
    CONSTRAINT review_apart CHECK (decided_by <> principal)
);
CREATE INDEX review_undecided ON review (decision, opened_ms);
CREATE TRIGGER review_frozen BEFORE UPDATE OF id, principal, digest, opened_ms, deadline_ms, valid_ms, opened ON review
    FOR EACH ROW EXECUTE FUNCTION privacy_refuse('what was asked for is not changed');
CREATE TRIGGER review_kept BEFORE DELETE ON review
    FOR EACH ROW EXECUTE FUNCTION privacy_refuse('reviews are not deleted');
CREATE TRIGGER review_decided BEFORE UPDATE OF decision, decided_by, decided_ms, reason ON review
    FOR EACH ROW WHEN (OLD.decision <> '') EXECUTE FUNCTION privacy_refuse('a decision is not changed');
CREATE TRIGGER review_used BEFORE UPDATE OF used_by ON review
    FOR EACH ROW WHEN (OLD.used_by <> '') EXECUTE FUNCTION privacy_refuse('an approval is used once');
"""


def upgrade() -> None:
    """Create its table."""
    op.get_bind().exec_driver_sql(_TABLES)
