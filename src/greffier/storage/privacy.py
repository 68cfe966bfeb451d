"""Consents, objections, holds, reveals and requests of data subjects, in the privacy database."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, func, insert, select, update

from greffier.governance.privacy.ports import NotAllowed, NotFound, PrivacyUnavailable
from greffier.governance.privacy.records import Hold, LedgerLine, Reveal, SubjectRequest
from greffier.policy.standing import Entry, LedgerState, LedgerUnavailable
from greffier.storage.erasing import overwrite
from greffier.storage.privacy_db import PrivacyDatabase, holds, ledger, requests, reveals

_FEW = 10_000


class SqlConsentLedger:
    """`ConsentLedger`, and the `Ledger` that workers follow."""

    def __init__(self, database: PrivacyDatabase) -> None:
        self._database = database

    def enter(self, line: LedgerLine) -> int:
        """See `ConsentLedger.enter`."""
        values = msgspec.structs.asdict(line)
        del values["number"]
        with self._database.writing() as connection:
            number: int = connection.execute(insert(ledger).values(values).returning(ledger.c.number)).scalar_one()
            return number

    def lines(self, tenant: str, subject: str) -> list[LedgerLine]:
        """See `ConsentLedger.lines`."""
        query = select(ledger).where(ledger.c.tenant == tenant, ledger.c.subject == subject).order_by(ledger.c.number)
        with self._database.reading() as connection:
            return [_line(row) for row in connection.execute(query)]

    def state(self) -> LedgerState:
        """See `Ledger.state`."""
        try:
            with self._database.reading() as connection:
                newest = connection.execute(select(func.coalesce(func.max(ledger.c.number), 0))).scalar_one()
                return LedgerState(self._database.name(connection), newest)
        except PrivacyUnavailable as error:
            raise LedgerUnavailable(str(error)) from error

    def entries(self, after: int) -> list[Entry]:
        """See `Ledger.entries`."""
        found: list[Entry] = []
        try:
            with self._database.reading() as connection:
                while rows := _after(connection, found[-1].number if found else after):
                    found += [_entry(row) for row in rows]
        except PrivacyUnavailable as error:
            raise LedgerUnavailable(str(error)) from error
        return found


class SqlHolds:
    """`Holds`."""

    def __init__(self, database: PrivacyDatabase) -> None:
        self._database = database

    def place(self, hold: Hold) -> None:
        """See `Holds.place`."""
        with self._database.writing() as connection:
            connection.execute(insert(holds).values(msgspec.structs.asdict(hold)))

    def all(self) -> list[Hold]:
        """See `Holds.all`."""
        with self._database.reading() as connection:
            return [Hold(**row._mapping) for row in connection.execute(select(holds).order_by(holds.c.id))]  # noqa: SLF001 - SQLAlchemy's public accessor

    def approve(self, hold_id: str, by: str, at_ms: int) -> Hold:
        """See `Holds.approve`."""
        with self._database.writing() as connection:
            hold = self._get(connection, hold_id)
            if hold.approved_ms is not None:
                raise NotAllowed("the hold was approved already")
            if not hold.active(at_ms):
                raise NotAllowed("the hold has lapsed; place it again")
            _apart(by, hold.placed_by, "placed the hold")
            return self._set(connection, hold_id, approved_by=by, approved_ms=at_ms)

    def release(self, hold_id: str, by: str, at_ms: int) -> Hold:
        """See `Holds.release`."""
        with self._database.writing() as connection:
            hold = self._get(connection, hold_id)
            if not hold.active(at_ms):
                raise NotAllowed("the hold has ended already")
            if hold.release_asked_by is None:
                return self._set(connection, hold_id, release_asked_by=by)
            _apart(by, hold.release_asked_by, "asked for the release")
            return self._set(connection, hold_id, released_by=by, released_ms=at_ms)

    def _get(self, connection: Connection, hold_id: str) -> Hold:
        return Hold(**_one(connection, holds, hold_id, "hold"))

    def _set(self, connection: Connection, hold_id: str, **values: Any) -> Hold:
        connection.execute(update(holds).where(holds.c.id == hold_id).values(values))
        return self._get(connection, hold_id)


class SqlReveals:
    """`Reveals`."""

    def __init__(self, database: PrivacyDatabase) -> None:
        self._database = database

    def ask(self, reveal: Reveal) -> None:
        """See `Reveals.ask`."""
        with self._database.writing() as connection:
            connection.execute(insert(reveals).values(msgspec.structs.asdict(reveal)))

    def approve(self, reveal_id: str, by: str, at_ms: int) -> Reveal:
        """See `Reveals.approve`."""
        with self._database.writing() as connection:
            reveal = Reveal(**_one(connection, reveals, reveal_id, "request to reveal"))
            if reveal.approved_ms is not None:
                raise NotAllowed("the request was approved already")
            if at_ms >= reveal.expires_ms:
                raise NotAllowed("the request has expired; ask again")
            _apart(by, reveal.requested_by, "made the request")
            connection.execute(
                update(reveals).where(reveals.c.id == reveal_id).values(approved_by=by, approved_ms=at_ms)
            )
            return msgspec.structs.replace(reveal, approved_by=by, approved_ms=at_ms)

    def get(self, reveal_id: str) -> Reveal:
        """See `Reveals.get`."""
        with self._database.reading() as connection:
            return Reveal(**_one(connection, reveals, reveal_id, "request to reveal"))

    def all(self) -> list[Reveal]:
        """See `Reveals.all`."""
        with self._database.reading() as connection:
            return [Reveal(**row._mapping) for row in connection.execute(select(reveals).order_by(reveals.c.id))]  # noqa: SLF001 - SQLAlchemy's public accessor


class SqlSubjectRequests:
    """`SubjectRequests`; each is one document, because it is read and written whole."""

    def __init__(self, database: PrivacyDatabase) -> None:
        self._database = database

    def add(self, request: SubjectRequest) -> None:
        """See `SubjectRequests.add`."""
        with self._database.writing() as connection:
            connection.execute(
                insert(requests).values(id=request.id, tenant=request.tenant, version=1, **_row(request))
            )

    def get(self, request_id: str) -> SubjectRequest:
        """See `SubjectRequests.get`."""
        with self._database.reading() as connection:
            return _document(_one(connection, requests, request_id, "request of a data subject"))

    def all(self) -> list[SubjectRequest]:
        """See `SubjectRequests.all`."""
        with self._database.reading() as connection:
            rows = connection.execute(select(requests).order_by(requests.c.due_ms, requests.c.id))
            return [_document(dict(row._mapping)) for row in rows]  # noqa: SLF001 - SQLAlchemy's public accessor

    def telling(self) -> list[SubjectRequest]:
        """See `SubjectRequests.telling`."""
        with self._database.reading() as connection:
            waiting = requests.c.data.like('%"state":"queued"%')  # a state that only notices have
            rows = connection.execute(select(requests).where(waiting).order_by(requests.c.id))
            found = [_document(dict(row._mapping)) for row in rows]  # noqa: SLF001 - SQLAlchemy's public accessor
        return [request for request in found if any(notice.state == "queued" for notice in request.notices)]

    def save(self, request: SubjectRequest, was: SubjectRequest) -> None:
        """See `SubjectRequests.save`. What it replaces is overwritten in the file."""
        with self._database.writing() as connection:
            row = _one(connection, requests, request.id, "request of a data subject")
            if _document(row) != was:
                raise NotAllowed("someone else worked on this request at the same time; look at it again")
            overwrite(connection)
            connection.execute(
                update(requests)
                .where(requests.c.id == request.id)
                .values(version=requests.c.version + 1, **_row(request))
            )


def _apart(by: str, other: str, did: str) -> None:
    """Say in words what the database's constraint would say in SQL."""
    if by == other:
        raise NotAllowed(f"{by} {did}; a second person is needed")


def _one(connection: Connection, table: Table, identifier: str, what: str) -> dict[str, Any]:
    row = connection.execute(select(table).where(table.c.id == identifier)).one_or_none()
    if row is None:
        raise NotFound(f"there is no {what} {identifier}")
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public accessor


def _row(request: SubjectRequest) -> dict[str, Any]:
    return {"state": request.state, "due_ms": request.due_ms, "data": msgspec.json.encode(request).decode()}


def _document(row: dict[str, Any]) -> SubjectRequest:
    return msgspec.json.decode(row["data"], type=SubjectRequest)


def _after(connection: Connection, number: int) -> list[Row[Any]]:
    return list(
        connection.execute(select(ledger).where(ledger.c.number > number).order_by(ledger.c.number).limit(_FEW))
    )


def _line(row: Row[Any]) -> LedgerLine:
    return LedgerLine(**{**row._mapping, "active": bool(row.active)})  # noqa: SLF001 - SQLAlchemy's public accessor


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.number, row.tenant, row.subject, row.purpose, row.kind, bool(row.active), row.origin)
