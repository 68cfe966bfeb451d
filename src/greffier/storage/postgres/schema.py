"""Which revision of the schema is there, whether this version of Greffier can work with it, and how to bring it up."""

from importlib import import_module
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.exc import SQLAlchemyError

from greffier.storage.administration import DatabaseUnavailable, SchemaMismatch, SchemaState
from greffier.storage.postgres.database import Database, reason_of

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""Every revision this version knows, oldest first; the last one is what it works with."""

# All that the gateway's role may do: above all, it cannot change or delete a record.
_RIGHTS = {
    "journal_head": "SELECT",
    "journal_day": "SELECT",
    "journal_writer": "SELECT",
    "event": "SELECT",
    "alembic_version": "SELECT",
    "api_keys": "SELECT, INSERT, UPDATE",
    "api_key_store": "SELECT, UPDATE",
    "spend": "SELECT, INSERT, UPDATE",
    "spend_cursor": "SELECT, INSERT, UPDATE",
    "privacy_store": "SELECT",
    "privacy_ledger": "SELECT, INSERT",
    "legal_hold": "SELECT, INSERT, UPDATE",
    "reveal_request": "SELECT, INSERT, UPDATE",
    "subject_request": "SELECT, INSERT, UPDATE",
    "incident": "SELECT, INSERT",
    "review": "SELECT, INSERT, UPDATE (decision, decided_by, decided_ms, reason, used_by)",
    "sink_progress": "SELECT, INSERT, UPDATE",
    "sink_rejected": "SELECT, INSERT",
    "tombstone": "SELECT, INSERT",
    "tombstone_key": "SELECT, UPDATE (key)",
    "part": "SELECT, INSERT, DELETE",
    "erasure_mark": "SELECT, INSERT, UPDATE",
    "epoch_key": "SELECT, INSERT, UPDATE, DELETE",
    "data_key": "SELECT, INSERT, UPDATE, DELETE",
}
_FUNCTIONS = ("journal_append",)

_LOCK = 0x67726566_0001  # advisory lock held while the schema is changed: "gref"
# Days of the journal count as their table.
_TABLES = (
    "SELECT relname::text, (pg_total_relation_size(oid) + coalesce((SELECT sum(pg_total_relation_size(relid))"
    " FROM pg_partition_tree(oid) WHERE relid <> oid), 0))::bigint FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    " ORDER BY relname"
)
_UPGRADE_MS = 600_000
_QUESTION_MS = 5_000


def inspect(database: Database) -> SchemaState:
    """Look at a database.

    Raises:
        DatabaseUnavailable: It cannot be reached.
    """
    try:
        with database.connect(statement_timeout_ms=_QUESTION_MS, autocommit=True) as connection:
            revision = _revision(connection)
            sizes: dict[str, int] = dict(connection.execute(_TABLES).fetchall())
            rights = _one(
                connection,
                "SELECT current_setting('server_version'), current_user::text, current_setting('fsync') = 'on',"
                " coalesce(has_table_privilege(to_regclass('event'), 'UPDATE, DELETE, TRUNCATE'), false),"
                " coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
                " OR coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true)",
            )
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"the database cannot be used: {reason_of(error)}") from error
    server, user, fsync, may_change, protected = rights
    return SchemaState(revision, REVISIONS[-1], server, user, may_change, fsync, protected, sizes)


def tables(database: Database) -> list[str]:
    """Names of all tables of the schema; those that are parts of another are left out.

    Raises:
        DatabaseUnavailable: It cannot be reached.
    """
    return list(inspect(database).tables)


def check(database: Database) -> None:
    """Make sure that the schema is the one this version works with.

    Raises:
        DatabaseUnavailable: The database cannot be reached.
        SchemaMismatch: The schema is older, newer, or not there.
    """
    revision = inspect(database).revision
    if revision == REVISIONS[-1]:
        return
    if not revision:
        raise SchemaMismatch("the database is empty; create its tables with 'greffier db upgrade'")
    if revision in REVISIONS:
        raise SchemaMismatch(
            f"the database's schema is {revision}, this version works with {REVISIONS[-1]}; run 'greffier db upgrade'"
        )
    raise SchemaMismatch(
        f"the database's schema is {revision}, which this version does not know: a newer Greffier has upgraded it; "
        "install that version"
    )


def upgrade(owner: Database, gateway_user: str) -> tuple[str, str]:
    """Bring the schema to the newest revision and give the gateway's user its rights; return the revisions.

    Safe to run several times and at once; running gateways go on.

    Args:
        owner: Connects as the user who owns the tables.
        gateway_user: As whom gateways connect; the owner's own name gives nothing.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or refuses a statement.
        SchemaMismatch: A newer version has upgraded it.
    """
    command = import_module("alembic.command")
    configuration = import_module("alembic.config").Config()
    configuration.set_main_option("script_location", "greffier:storage/migrations")
    engine = owner.engine(statement_timeout_ms=_UPGRADE_MS)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.commit()  # the lock is the session's
            driver: Any = connection.connection.driver_connection
            before = _revision(driver)
            driver.commit()
            if before and before not in REVISIONS:
                raise SchemaMismatch(f"the schema is {before}, which this version does not know; it is newer")
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, REVISIONS[-1])
            connection.commit()
            _grant(driver, gateway_user)
            after = _revision(driver)
            driver.commit()
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"the database refused the upgrade: {reason_of(error)}") from error
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        why = reason_of(cause) if isinstance(cause, psycopg.Error) else type(error).__name__
        raise DatabaseUnavailable(f"the database refused the upgrade: {why}") from error
    finally:
        engine.dispose()
    return before, after


def _grant(connection: "psycopg.Connection[Any]", user: str) -> None:
    (owner,) = _one(connection, "SELECT current_user::text")
    if not user or user == owner:
        return
    # Appending may attach a new day, and PostgreSQL refuses that beside a change of rights: one after the other.
    connection.execute("SELECT seq FROM journal_head FOR UPDATE")
    role = sql.Identifier(user)
    (schema,) = _one(connection, "SELECT current_schema()::text")
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
    for table, rights in _RIGHTS.items():
        name = sql.Identifier(table)
        connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, role))
        connection.execute(sql.SQL("GRANT " + rights + " ON {} TO {}").format(name, role))
    for function in _FUNCTIONS:
        connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.Identifier(function), role))


def _revision(connection: "psycopg.Connection[Any]") -> str:
    (there,) = _one(connection, "SELECT to_regclass('alembic_version') IS NOT NULL")
    if not there:
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _one(connection: "psycopg.Connection[Any]", statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement).fetchone()
    if row is None:
        raise DatabaseUnavailable("the database gave no answer")
    return tuple(row)
