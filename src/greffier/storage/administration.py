"""What is done to a database by its owner, and by no gateway: upgrade, look, copy, restore, drop old days."""

from datetime import date
from pathlib import Path
from typing import Protocol

import msgspec


class SchemaMismatch(Exception):  # noqa: N818 - named for the condition; the start stops on it
    """The schema is not the one this version works with. The message says what to run."""


class DatabaseUnavailable(Exception):  # noqa: N818 - named for the condition
    """The database cannot be reached or refused; the message says why, without its address."""


class SchemaState(msgspec.Struct, frozen=True):
    """What was found in a database.

    Attributes:
        revision: Revision of the schema; empty where there is none.
        wanted: The revision this version works with.
        server: Version of the server.
        user: As whom we are connected.
        may_change_journal: Whether that user could change or delete records of the journal.
        fsync: Whether the server waits for its disk.
        protected: Whether the connection is encrypted, or never leaves the machine.
        tables: Size of each table in bytes, with its indexes.
    """

    revision: str
    wanted: str
    server: str
    user: str
    may_change_journal: bool
    fsync: bool
    protected: bool
    tables: dict[str, int]


class Dropped(msgspec.Struct, frozen=True):
    """Days of the journal that retention dropped.

    Attributes:
        days: How many.
        first_seq: The first event that is left.
    """

    days: int
    first_seq: int


class Administration(Protocol):
    """`greffier db` on a database."""

    def status(self) -> SchemaState:
        """Look at it.

        Raises:
            DatabaseUnavailable: It cannot be reached.
        """
        ...

    def upgrade(self) -> tuple[str, str]:
        """Bring the schema to this version's revision; return the revisions before and after.

        Raises:
            DatabaseUnavailable: It cannot be reached, or refuses.
            SchemaMismatch: A newer version has upgraded it.
        """
        ...

    def dump(self, file: Path) -> None:
        """Write a consistent copy with ``pg_dump``.

        Raises:
            DatabaseUnavailable: It cannot be copied.
        """
        ...

    def dump_keys(self, file: Path) -> None:
        """Write the keys of captured content, which `dump` leaves out: copies of keys live shorter than copies of data.

        Raises:
            DatabaseUnavailable: They cannot be copied.
        """
        ...

    def load_keys(self, file: Path) -> None:
        """Put back what `dump_keys` wrote, after `load`.

        Raises:
            DatabaseUnavailable: They cannot be put back.
        """
        ...

    def load(self, file: Path) -> None:
        """Fill an empty database from a copy, with ``pg_restore``.

        Raises:
            DatabaseUnavailable: It is not empty, or cannot be filled.
        """
        ...

    def days_before(self, day: date) -> Dropped:
        """What `drop_before` would drop.

        Raises:
            DatabaseUnavailable: It cannot be reached.
        """
        ...

    def drop_before(self, day: date) -> Dropped:
        """Drop the journal's days before a day, newest excluded, each as a whole.

        Raises:
            DatabaseUnavailable: It cannot be reached, or refuses.
        """
        ...
