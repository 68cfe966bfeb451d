"""The ledger of erasures: lines are added and kept for ever; its key is changed only while there is none."""

import secrets

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = """
CREATE TABLE tombstone (
    number bigint PRIMARY KEY,
    at_ms bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('subject', 'part')),
    tenant text NOT NULL,
    mark text NOT NULL,
    request text NOT NULL,
    UNIQUE (request, mark)
);
CREATE TABLE tombstone_key (id integer PRIMARY KEY CHECK (id = 1), key bytea NOT NULL);
CREATE TRIGGER tombstone_frozen BEFORE UPDATE OR DELETE ON tombstone FOR EACH ROW
    EXECUTE FUNCTION privacy_refuse('lines of the ledger of erasures are neither changed nor deleted');
CREATE FUNCTION tombstone_key_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tombstone) THEN
        RAISE EXCEPTION USING MESSAGE = 'the key of a ledger that has lines is not changed',
            ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tombstone_key_frozen BEFORE UPDATE ON tombstone_key FOR EACH ROW EXECUTE FUNCTION tombstone_key_refuse();
"""


def upgrade() -> None:
    """Create its tables."""
    connection = op.get_bind()
    connection.exec_driver_sql(_TABLES)
    connection.exec_driver_sql("INSERT INTO tombstone_key VALUES (1, %s)", (secrets.token_bytes(32),))
