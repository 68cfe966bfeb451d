"""Every sink keeps the contract, against the real receiver."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import nats
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer

from greffier.adapters.sinks.build import build_sink
from greffier.audit.sink_settings import SinkSettings, SinkTlsSettings
from greffier.audit.sinks import Parcel, Sink, SinkRejected, SinkUnavailable
from greffier.testing.certificates import Certificates
from greffier.testing.contracts.sink import Receiver, RestartingSinkContract, SinkContract, parcel, wrapped
from greffier.testing.sink_peers import Collector, NatsServer, Rsyslog, soon

SECRET = "token-of-the-test"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINK_SECRET", SECRET)


def tls(certificates: Certificates, client: str = "") -> SinkTlsSettings:
    return SinkTlsSettings(
        ca_file=str(certificates.ca),
        client_cert_file=str(certificates.certificate(client)) if client else None,
        client_key=f"file:{certificates.key(client)}" if client else None,
    )


def build(settings: SinkSettings, root: Path) -> Sink:
    return build_sink("test", settings, root)[0]


class FileReceiver:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "out"
        self._settings = SinkSettings(kind="file", path="out/events.jsonl")
        self._root = folder

    def sink(self) -> Sink:
        return build(self._settings, self._root)

    async def received(self, at_least: int) -> list[str]:
        return (self.folder / "events.jsonl").read_text().splitlines()

    async def stop(self) -> None:
        self.folder.rename(self.folder.with_name("gone"))
        self.folder.write_text("a file where a folder should be")

    async def start(self) -> None:
        self.folder.unlink()
        self.folder.with_name("gone").rename(self.folder)


class TestFile(RestartingSinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Receiver:
        return FileReceiver(tmp_path)

    async def test_it_rotates_by_size_and_keeps_so_many(self, tmp_path: Path) -> None:
        settings = SinkSettings(kind="file", path="e.log", rotate_bytes=1024, keep_files=2)
        sink = build(settings, tmp_path)
        for number in range(5):
            await sink.send([parcel(number, "x" * 1100)])
        await sink.close()
        kept = sorted(path for path in tmp_path.iterdir() if path.name != "e.log")  # noqa: ASYNC240 - a test folder
        assert len(kept) == 2
        assert json.loads((tmp_path / "e.log").read_text())["event"] == "e000004"
        assert [json.loads(path.read_text())["event"] for path in kept] == ["e000002", "e000003"]

    async def test_a_line_cut_short_by_a_crash_stays_alone(self, tmp_path: Path) -> None:
        (tmp_path / "e.log").write_text('{"half')
        sink = build(SinkSettings(kind="file", path="e.log"), tmp_path)
        await sink.send([parcel(1)])
        await sink.close()
        assert (tmp_path / "e.log").read_text().splitlines() == ['{"half', *wrapped([parcel(1)])]

    async def test_it_follows_a_file_that_was_moved_away(self, tmp_path: Path) -> None:
        sink = build(SinkSettings(kind="file", path="e.log"), tmp_path)
        await sink.send([parcel(1)])
        (tmp_path / "e.log").rename(tmp_path / "e.old")
        await sink.send([parcel(2)])
        await sink.close()
        assert (tmp_path / "e.log").read_text().splitlines() == wrapped([parcel(2)])


class SyslogReceiver:
    def __init__(self, server: Rsyslog) -> None:
        self.server = server

    def sink(self, client: str = "client") -> Sink:
        settings = SinkSettings(
            kind="syslog", url=f"tls://127.0.0.1:{self.server.port}", tls=tls(self.server.certificates, client)
        )
        return Prefixed(build(settings, self.server.folder))

    async def received(self, at_least: int) -> list[str]:
        await soon(lambda: len(self.server.messages()) >= at_least)
        return [message["rawmsg"].partition(PREFIX)[2] for message in self.server.messages()]

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)


PREFIX = "<109>1 2026-11-23T20:54:00.123Z gw1 greffier 1 GW-2001 - "


class Prefixed:
    """Puts a header of RFC 5424 before the texts of the contract, as the writer of a syslog sink does."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.probe = sink.probe
        self.close = sink.close

    async def send(self, parcels: Sequence[Parcel]) -> None:
        await self._sink.send([msgspec.structs.replace(p, data=PREFIX.encode() + p.data) for p in parcels])


class TestSyslog(RestartingSinkContract):
    @pytest.fixture
    async def receiver(self, tmp_path: Path, certificates: Certificates) -> AsyncIterator[SyslogReceiver]:
        server = Rsyslog(tmp_path, certificates)
        server.start()
        yield SyslogReceiver(server)
        server.stop()

    async def test_a_client_nobody_trusts_is_refused_at_the_probe(self, receiver: SyslogReceiver) -> None:
        for client in ("stranger", ""):
            sink = receiver.sink(client)
            with pytest.raises(SinkUnavailable):
                await sink.probe()
            with pytest.raises(SinkUnavailable):
                await sink.send([parcel(1)])
            await sink.close()
        assert receiver.server.messages() == []


class CollectorReceiver:
    def __init__(self, collector: Collector, settings: SinkSettings, root: Path) -> None:
        self.collector = collector
        self._settings = settings
        self._root = root

    def sink(self) -> Sink:
        return build(self._settings, self._root)

    async def received(self, at_least: int) -> list[str]:
        return [
            json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) for text in self.collector.events
        ]

    async def stop(self) -> None:
        await self.collector.stop()

    async def start(self) -> None:
        await self.collector.start()


class CollectorContract(RestartingSinkContract):
    """What the three kinds of collector have in common besides."""

    settings: dict[str, str]

    @pytest.fixture
    async def receiver(self, tmp_path: Path, certificates: Certificates) -> AsyncIterator[CollectorReceiver]:
        collector = Collector(certificates, SECRET)
        settings = SinkSettings(
            url=f"https://127.0.0.1:{collector.port}",
            secret="env:SINK_SECRET",
            tls=tls(certificates),
            timeout_s=5,
            **self.settings,  # type: ignore[arg-type]
        )
        await collector.start()
        yield CollectorReceiver(collector, settings, tmp_path)
        await collector.stop()

    async def test_a_busy_collector_gets_everything_again(self, sink: Sink, receiver: CollectorReceiver) -> None:
        receiver.collector.busy = 503
        with pytest.raises(SinkUnavailable):
            await sink.send([parcel(1), parcel(2)])
        receiver.collector.busy = 0
        await sink.send([parcel(1), parcel(2)])
        assert await receiver.received(2) == wrapped([parcel(1), parcel(2)])

    async def test_an_event_it_never_takes_does_not_stop_the_others(
        self, sink: Sink, receiver: CollectorReceiver
    ) -> None:
        receiver.collector.poison = "p-o-i-s-o-n"
        batch = [parcel(1), parcel(2, "p-o-i-s-o-n"), parcel(3), parcel(4, "p-o-i-s-o-n"), parcel(5)]
        with pytest.raises(SinkRejected) as caught:
            await sink.send(batch)
        assert set(caught.value.reasons) == {"evt_000002", "evt_000004"}
        assert set(receiver.collector.ids) == {"evt_000001", "evt_000003", "evt_000005"}

    async def test_a_wrong_secret_is_noticed_before_anything_is_sent(
        self, receiver: CollectorReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SINK_SECRET", "wrong")
        sink = receiver.sink()
        with pytest.raises(SinkUnavailable, match="secret") as caught:
            await sink.probe()
        assert "wrong" not in str(caught.value)
        await sink.close()


class TestSplunk(CollectorContract):
    settings = {"kind": "splunk_hec"}

    async def test_with_acknowledgements_it_waits_until_events_are_indexed(
        self, sink: Sink, receiver: CollectorReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receiver.collector.acknowledge = True
        await sink.send([parcel(1)])
        receiver.collector.indexed = False
        monkeypatch.setattr("greffier.adapters.sinks.splunk._INDEXED_WITHIN_S", 0.3)
        with pytest.raises(SinkUnavailable, match="index"):
            await sink.send([parcel(2)])


class TestElastic(CollectorContract):
    settings = {"kind": "elastic", "topic": "logs-greffier.audit-default"}

    async def test_what_is_sent_twice_is_there_once(self, sink: Sink, receiver: CollectorReceiver) -> None:
        await sink.send([parcel(1)])
        await sink.send([parcel(1), parcel(2)])
        assert receiver.collector.ids == ["evt_000001", "evt_000002"]


class TestOtlp(CollectorContract):
    settings = {"kind": "otlp"}


class NatsReceiver:
    def __init__(self, server: NatsServer, settings: SinkSettings) -> None:
        self.server = server
        self._settings = settings

    def sink(self) -> Sink:
        return build(self._settings, self.server.folder)

    async def received(self, at_least: int) -> list[str]:
        client = await nats.connect(f"nats://127.0.0.1:{self.server.port}", token=self.server.token)
        stream = client.jetstream()
        last = (await stream.stream_info("audit")).state.last_seq
        found = [(await stream.get_msg("audit", seq)).data for seq in range(1, last + 1)]
        await client.close()
        return [(data or b"").decode() for data in found]

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)


async def make_stream(server: NatsServer) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{server.port}", token=server.token)
    await client.jetstream().add_stream(name="audit", subjects=["audit.>"])
    await client.close()


class TestNats(RestartingSinkContract):
    @pytest.fixture
    async def receiver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NatsReceiver]:
        server = NatsServer(tmp_path)
        monkeypatch.setenv("SINK_SECRET", server.token)
        server.start()
        await make_stream(server)
        url = f"tcp://127.0.0.1:{server.port}"
        yield NatsReceiver(server, SinkSettings(kind="nats", url=url, topic="audit.events", secret="env:SINK_SECRET"))
        server.stop()

    async def test_what_is_sent_twice_is_stored_once(self, sink: Sink, receiver: NatsReceiver) -> None:
        await sink.send([parcel(1)])
        await sink.send([parcel(1), parcel(2)])
        assert await receiver.received(2) == wrapped([parcel(1), parcel(2)])

    async def test_a_subject_no_stream_covers_fails_the_probe(self, receiver: NatsReceiver, tmp_path: Path) -> None:
        url = f"tcp://127.0.0.1:{receiver.server.port}"
        sink = build(SinkSettings(kind="nats", url=url, topic="nobody.listens", secret="env:SINK_SECRET"), tmp_path)
        with pytest.raises(SinkUnavailable, match="no stream"):
            await sink.probe()
        await sink.close()

    async def test_over_tls(self, tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tls").mkdir()
        server = NatsServer(tmp_path / "tls", certificates)
        monkeypatch.setenv("SINK_SECRET", server.token)
        server.start()
        settings = SinkSettings(
            kind="nats",
            url=f"tls://127.0.0.1:{server.port}",
            topic="audit.events",
            secret="env:SINK_SECRET",
            tls=tls(certificates),
        )
        sink = build(settings, tmp_path)
        with pytest.raises(SinkUnavailable, match="no stream"):
            await sink.probe()
        await sink.close()
        server.stop()


class KafkaReceiver:
    """librdkafka's mock cluster: a real protocol endpoint that keeps nothing beyond its life."""

    def __init__(self, root: Path) -> None:
        self._cluster: Producer | None = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
        (broker,) = self._cluster.list_topics(timeout=5).brokers.values()
        self._address = f"{broker.host}:{broker.port}"
        self._root = root

    def sink(self) -> Sink:
        return build(SinkSettings(kind="kafka", url=f"tcp://{self._address}", topic="audit", timeout_s=2), self._root)

    async def received(self, at_least: int) -> list[str]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._address, enable_auto_commit=False)
        await consumer.start()
        partitions = [TopicPartition("audit", number) for number in await self._partitions(consumer)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[str] = []
        deadline = time.monotonic() + 10
        while len(found) < at_least and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.value.decode() for record in records]
        await consumer.stop()
        return found

    async def _partitions(self, consumer: AIOKafkaConsumer) -> set[int]:
        await consumer.topics()
        return set(consumer.partitions_for_topic("audit") or {0})

    async def stop(self) -> None:
        self._cluster = None

    async def start(self) -> None:
        raise NotImplementedError


class TestKafka(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Receiver:
        return KafkaReceiver(tmp_path)
