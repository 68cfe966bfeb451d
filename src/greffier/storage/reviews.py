"""Reviews. Who decides, whether in time, and whether an approval is used once, is settled by the database."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    Update,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greffier.guardrails.reviews import Review, ReviewConflict, ReviewNotFound, ReviewsUnavailable
from greffier.storage.engine import sqlite_engine
from greffier.storage.tables import create_missing, first_line, upsert

_METADATA = MetaData()
_REVIEWS = Table(
    "review",
    _METADATA,
    Column("id", String(40), primary_key=True),
    Column("principal", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("valid_ms", BigInteger, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("decided_by", String(128), nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("used_by", String(40), nullable=False),
    Column("opened", LargeBinary, nullable=False),  # the review as it was opened, JSON; never changes
    Index("review_undecided", "decision", "opened_ms"),
)
_TRIGGERS = {
    "kept": ("DELETE", "1", "reviews are not deleted"),
    "frozen": (
        "UPDATE OF id, principal, digest, opened_ms, deadline_ms, valid_ms, opened",
        "1",
        "what was asked for is not changed",
    ),
    "apart": (
        "UPDATE OF decided_by",
        "NEW.decided_by = OLD.principal",
        "whoever asked cannot decide",
    ),
    "decided": (
        "UPDATE OF decision, decided_by, decided_ms, reason",
        "OLD.decision <> ''",
        "a decision is not changed",
    ),
    "used": (
        "UPDATE OF used_by",
        "OLD.used_by <> '' OR NEW.decision <> 'approved'",
        "an approval is used once",
    ),
}
"""What the database refuses by itself, as on PostgreSQL (`greffier.storage.migrations`): event, condition, reason."""

_DECODER = msgspec.json.Decoder(Review)
_CHANGING = ("decision", "decided_by", "decided_ms", "reason", "used_by")


class SqlReviewStore:
    """`ReviewStore`; any number of processes may share it."""

    def __init__(self, engine: Engine) -> None:
        """Use a table that is there already."""
        self._engine = engine

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    def open(self, review: Review) -> None:
        """See `ReviewStore.open`."""
        with self.writing() as connection:
            connection.execute(insert(_REVIEWS).values(_row(review)))

    def take(self, reviews: Iterable[Review]) -> int:
        """Add reviews of another store as they stand there, those that are missing; return how many these were."""
        with self.writing() as connection:
            added = upsert(connection, _REVIEWS).on_conflict_do_nothing().returning(_REVIEWS.c.id)
            return sum(connection.execute(added, _row(review)).first() is not None for review in reviews)

    def get(self, review_id: str) -> Review:
        """See `ReviewStore.get`."""
        query = select(_REVIEWS).where(_REVIEWS.c.id == review_id)
        with _translated(), self._engine.connect() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise ReviewNotFound(f"there is no review {review_id!r}")
        return _review(row)

    def those(self, review_ids: Sequence[str]) -> tuple[Review, ...]:
        """See `ReviewStore.those`."""
        query = select(_REVIEWS).where(_REVIEWS.c.id.in_(review_ids))
        with _translated(), self._engine.connect() as connection:
            return tuple(_review(row) for row in connection.execute(query).mappings())

    def list(self, *, undecided: bool = False) -> tuple[Review, ...]:
        """See `ReviewStore.list`."""
        query = select(_REVIEWS).order_by(_REVIEWS.c.opened_ms, _REVIEWS.c.id)
        if undecided:
            query = query.where(_REVIEWS.c.decision == "")
        with _translated(), self._engine.connect() as connection:
            return tuple(_review(row) for row in connection.execute(query).mappings())

    def decide(
        self, review_id: str, decision: Literal["approved", "rejected"], *, by: str, reason: str, now_ms: int
    ) -> Review:
        """See `ReviewStore.decide`."""
        change = (
            update(_REVIEWS)
            .where(
                _REVIEWS.c.id == review_id,
                _REVIEWS.c.decision == "",
                _REVIEWS.c.deadline_ms > now_ms,
                _REVIEWS.c.principal != by,
            )
            .values(decision=decision, decided_by=by, decided_ms=now_ms, reason=reason)
        )
        if self._changes(change):
            return self.get(review_id)
        review = self.get(review_id)
        if review.principal == by:
            raise ReviewConflict("whoever asked cannot decide")
        if review.decision:
            raise ReviewConflict(f"it was {review.decision} by {review.decided_by} already")
        raise ReviewConflict("its deadline is over")

    def use(self, review_id: str, digest: str, *, request_id: str, now_ms: int) -> Review:
        """See `ReviewStore.use`."""
        change = (
            update(_REVIEWS)
            .where(
                _REVIEWS.c.id == review_id,
                _REVIEWS.c.digest == digest,
                _REVIEWS.c.decision == "approved",
                _REVIEWS.c.used_by == "",
                _REVIEWS.c.decided_ms + _REVIEWS.c.valid_ms > now_ms,
            )
            .values(used_by=request_id)
        )
        if self._changes(change):
            return self.get(review_id)
        review = self.get(review_id)
        if review.digest != digest:
            raise ReviewNotFound(f"there is no review {review_id!r} of this request")
        status = review.status(now_ms)
        raise ReviewConflict("it was used already" if status == "approved" else f"it is {status}")

    def _changes(self, change: Update) -> bool:
        with self.writing() as connection:
            return connection.execute(change).rowcount == 1


class SqliteReviewStore(SqlReviewStore):
    """Reviews in a SQLite file, which the API keys share."""

    def __init__(self, path: Path) -> None:
        """Open the store, creating its table if the file has none.

        Raises:
            ReviewsUnavailable: The file cannot be opened.
        """
        with _translated():
            super().__init__(sqlite_engine(path))  # in the mode of the keys
            with self._engine.begin() as connection:
                create_missing(connection, _METADATA)
                for name, (when, condition, reason) in _TRIGGERS.items():
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER IF NOT EXISTS review_{name} BEFORE {when} ON review WHEN {condition} "
                        f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
                    )


def _row(review: Review) -> dict[str, Any]:
    row = {name: getattr(review, name) for name in _REVIEWS.c.keys() if name != "opened"}  # noqa: SIM118 - columns
    return row | {"opened": msgspec.json.encode(review)}


def _review(row: RowMapping) -> Review:
    opened = _DECODER.decode(row["opened"])
    return msgspec.structs.replace(opened, **{name: row[name] for name in _CHANGING})


@contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors; SQLAlchemy's own text would show values, so only the driver's is kept."""
    try:
        yield
    except IntegrityError as error:
        raise ReviewConflict(f"the database refuses it ({first_line(error.orig)})") from error
    except SQLAlchemyError as error:
        reason = first_line(getattr(error, "orig", None) or type(error).__name__)
        raise ReviewsUnavailable(f"reviews: {reason}") from error
    except OSError as error:
        raise ReviewsUnavailable(f"reviews: {error.strerror}") from error
