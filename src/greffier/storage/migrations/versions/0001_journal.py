"""The journal: partitions by day, a counter that makes numbers without gaps, and one function that appends.

Nobody but the owner writes these tables: the gateway's role reads them and may call `journal_append`, which runs with
the owner's rights and can only add.
"""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE event (
    day date NOT NULL,
    seq bigint NOT NULL,
    id text NOT NULL,
    ts bigint NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL,
    request_id text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (day, seq)
) PARTITION BY RANGE (day);
CREATE INDEX event_request ON event (request_id);

CREATE TABLE journal_head (
    id integer PRIMARY KEY CHECK (id = 1),
    seq bigint NOT NULL,
    day date NOT NULL
) WITH (fillfactor = 10);
INSERT INTO journal_head VALUES (1, 0, '2000-01-01');

CREATE TABLE journal_day (
    day date PRIMARY KEY,
    first_seq bigint NOT NULL
);

CREATE TABLE journal_writer (
    writer text PRIMARY KEY,
    number bigint NOT NULL,
    seen timestamptz NOT NULL
) WITH (fillfactor = 50);
"""

# One call is one transaction. The counter's row is locked first, so that writers of all machines take turns, numbers
# have no gaps and become visible in their order. `numbers` count the events of one writer: what a writer sends again,
# because it never heard the answer, is not written twice.
_APPEND = """
CREATE FUNCTION journal_append(
    p_writer text, p_numbers bigint[], p_ids text[], p_ts bigint[], p_tenants text[], p_kinds text[],
    p_request_ids text[], p_data bytea[]
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    v_last bigint;
    v_day date;
    v_known bigint;
    v_added bigint;
    v_part text;
BEGIN
    SELECT h.seq, greatest(h.day, (clock_timestamp() AT TIME ZONE 'UTC')::date) INTO STRICT v_last, v_day
        FROM journal_head h WHERE h.id = 1 FOR UPDATE;
    SELECT w.number INTO v_known FROM journal_writer w WHERE w.writer = p_writer;
    v_known := coalesce(v_known, 0);
    IF NOT EXISTS (SELECT 1 FROM journal_day d WHERE d.day = v_day) THEN
        v_part := 'event_' || to_char(v_day, 'YYYYMMDD');
        EXECUTE format('CREATE TABLE %I (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_part);
        EXECUTE format('ALTER TABLE event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_part, v_day, v_day + 1);
        INSERT INTO journal_day VALUES (v_day, v_last + 1);
    END IF;
    INSERT INTO event (day, seq, id, ts, tenant, kind, request_id, data)
        SELECT v_day, v_last + row_number() OVER (ORDER BY e.number), e.id, e.ts, e.tenant, e.kind, e.request_id, e.data
        FROM unnest(p_numbers, p_ids, p_ts, p_tenants, p_kinds, p_request_ids, p_data)
            AS e(number, id, ts, tenant, kind, request_id, data)
        WHERE e.number > v_known;
    GET DIAGNOSTICS v_added = ROW_COUNT;
    IF v_added > 0 THEN
        UPDATE journal_head SET seq = v_last + v_added, day = v_day WHERE id = 1;
        INSERT INTO journal_writer AS w VALUES (p_writer, (SELECT max(n) FROM unnest(p_numbers) n), clock_timestamp())
            ON CONFLICT (writer) DO UPDATE SET number = excluded.number, seen = excluded.seen;
    END IF;
    RETURN v_last + v_added;
END $$;
REVOKE ALL ON FUNCTION journal_append FROM PUBLIC;
"""


def upgrade() -> None:
    """Create the journal."""
    connection = op.get_bind()
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    connection.exec_driver_sql(_TABLES)
    connection.exec_driver_sql(_APPEND.format(schema=schema).replace("%", "%%"))  # the driver reads % as a placeholder
