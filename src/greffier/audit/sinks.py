"""The sink port: where copies of the evidence are delivered to."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from greffier.audit.export.entry import Entry

Writer = Callable[[Entry], bytes]
"""Writes an entry in a sink's format."""


class SinkUnavailable(Exception):  # noqa: N818 - named for the condition
    """A sink did not take what it was sent, or cannot be reached. It is sent again later."""


class SinkRejected(Exception):  # noqa: N818 - named for the condition
    """A sink took a delivery but will never take some of its events.

    Attributes:
        reasons: Why, by id of the event.
    """

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(f"{len(reasons)} event(s) refused: {next(iter(reasons.values()), '')}")
        self.reasons = reasons


class Parcel(msgspec.Struct, frozen=True):
    """One entry, written out.

    Attributes:
        id: Id of the entry: equal for repeated deliveries, so that receivers can drop them.
        seq: Sequence number in the journal.
        time_ms: When it happened.
        code: Event code.
        severity: Of the entry.
        key: Tenant; events of one key keep their order where a sink has partitions.
        data: In the sink's format, without a line end.
    """

    id: str
    seq: int
    time_ms: int
    code: str
    severity: int
    key: str
    data: bytes


class Sink(Protocol):
    """Takes parcels. One caller at a time."""

    async def probe(self) -> None:
        """Find out whether it can be delivered to, without delivering.

        Raises:
            SinkUnavailable: It cannot.
        """
        ...

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Deliver; return once the sink has acknowledged all of them in its own way.

        Raises:
            SinkUnavailable: Not all are acknowledged; all must be sent again.
            SinkRejected: All but some are acknowledged; those must not be sent again.
        """
        ...

    async def close(self) -> None:
        """Release connections. May be called twice."""
        ...


def write_parcel(entry: Entry, writer: Writer) -> Parcel:
    """Write an entry out in a sink's format."""
    return Parcel(
        id=entry.id,
        seq=entry.seq,
        time_ms=entry.time_ms,
        code=entry.code.code,
        severity=int(entry.code.severity),
        key=entry.tenant,
        data=writer(entry),
    )
