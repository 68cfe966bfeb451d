"""Sinks of several gateways on one database: one supplies them, nothing is shipped twice, another takes over."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from greffier.audit.export.entry import Entry
from greffier.audit.progress import Progress, SinkTaken
from greffier.audit.settings import AuditSettings
from greffier.audit.shipping import Plan, Shipper
from greffier.audit.sinks import Parcel, SinkUnavailable
from greffier.core.clock import SystemClock
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.leader import PostgresLeader, number_of
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.storage.sinks import SqlProgress
from greffier.testing.contracts.journal import make_admission
from greffier.testing.contracts.progress import Opener, ProgressContract
from greffier.testing.postgres_server import PostgresServer


@pytest.fixture
def opener(gateway: Database) -> Iterator[Opener]:
    opened: list[SqlProgress] = []

    def open_(sink: str = "siem") -> SqlProgress:
        opened.append(SqlProgress(gateway.engine(), PostgresLeader(gateway, number_of(f"sink {sink}")), sink))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


class TestPostgresProgress(ProgressContract):
    pass


class Siem:
    """The one receiver of all gateways."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.away = False
        self.while_sending: Callable[[], None] = lambda: None

    async def probe(self) -> None:
        pass

    async def send(self, parcels: Sequence[Parcel]) -> None:
        if self.away:
            raise SinkUnavailable("away")
        self.got += [parcel.seq for parcel in parcels]
        await asyncio.to_thread(self.while_sending)

    async def close(self) -> None:
        pass


def name_of(entry: Entry) -> bytes:
    return entry.id.encode()


@pytest.fixture
def gateways(gateway: Database, opener: Opener) -> Iterator[Callable[[Siem], Shipper]]:
    """Makes the shipper of another gateway."""
    readers: list[PostgresJournalReader] = []

    def make(siem: Siem) -> Shipper:
        readers.append(PostgresJournalReader(gateway))
        plan = Plan(name="siem", workspace="prod", batch=10)
        return Shipper(
            plan, siem, name_of, readers[-1], lambda: None, opener(), SystemClock(), random.Random(len(readers))
        )

    yield make
    for reader in readers:
        reader.close()


async def append(gateway: Database, count: int) -> None:
    journal = PostgresJournal(gateway, AuditSettings())
    await asyncio.gather(*(journal.append(make_admission()) for _ in range(count)))
    await journal.close()


async def rounds(*shippers: Shipper, count: int = 12) -> None:
    """Let gateways try to ship at the same time, so many times."""
    for _ in range(count):
        await asyncio.gather(*(shipper.ship_once() for shipper in shippers))


async def test_many_gateways_ship_every_event_once(gateway: Database, gateways: Callable[[Siem], Shipper]) -> None:
    siem = Siem()
    shippers = [gateways(siem) for _ in range(3)]
    await append(gateway, 50)
    await rounds(*shippers)
    assert siem.got == list(range(1, 51))
    assert {(shipper.progress.cursor, shipper.lag) for shipper in shippers} == {(50, 0)}, "each shows how far it is"
    leader = next(shipper for shipper in shippers if shipper.leading)
    await leader.close()
    await append(gateway, 20)
    others = [shipper for shipper in shippers if shipper is not leader]
    await rounds(*others)
    assert siem.got == list(range(1, 71)), "another gateway goes on where the one that stopped was"


async def test_a_gateway_that_lost_its_connection_leaves_the_sink_to_another(
    server: PostgresServer, name: str, gateway: Database, gateways: Callable[[Siem], Shipper]
) -> None:
    siem = Siem()
    first, second = gateways(siem), gateways(siem)
    await append(gateway, 30)
    await first.ship_once()
    siem.away = True
    with pytest.raises(SinkUnavailable):
        await first.ship_once()  # it keeps a batch in hand
    siem.away = False
    with psycopg.connect(server.url(name), autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
    for _ in range(6):
        await second.ship_once()
    assert second.progress.cursor == 30
    await rounds(first, second)
    assert siem.got == list(range(1, 31))


async def test_a_deposed_gateway_moves_no_cursor(
    server: PostgresServer, name: str, gateway: Database, gateways: Callable[[Siem], Shipper]
) -> None:
    siem = Siem()
    first, second = gateways(siem), gateways(siem)
    await append(gateway, 30)
    await first.ship_once()

    def depose() -> None:
        siem.while_sending = lambda: None
        with psycopg.connect(server.url(name), autocommit=True) as owner:
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
        asyncio.run(second.ship_once())

    siem.while_sending = depose
    with pytest.raises(SinkTaken):
        await first.ship_once()
    assert second.progress.cursor == 20
    await rounds(first, second)
    assert sorted(set(siem.got)) == list(range(1, 31))
    assert len(siem.got) == 40, "the batch that was under way came twice, under the same ids, and nothing else did"


def test_a_database_out_of_reach_is_told_and_nobody_leads() -> None:
    nowhere = Database("postgresql://gateway:s3cret@127.0.0.1:1/none")
    store = SqlProgress(nowhere.engine(), PostgresLeader(nowhere, number_of("sink siem")), "siem")
    assert not store.hold()
    with pytest.raises(SinkUnavailable) as error:
        store.load()
    with pytest.raises(SinkUnavailable):
        store.save(Progress(cursor=1))
    assert "s3cret" not in str(error.value)
