"""A shipper loses nothing, whatever sink and journal do."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export.codes import Severity
from greffier.audit.export.ocsf import to_json
from greffier.audit.ports import Sequenced
from greffier.audit.progress import ProgressFile
from greffier.audit.shipping import MAX_CHUNK_BYTES, Plan, Shipper
from greffier.audit.sinks import Parcel, SinkRejected, SinkUnavailable
from greffier.core.events import Act, canonical
from greffier.testing.clock import ManualClock
from greffier.testing.siem_events import TIME_MS, Rows


class Memory:
    """A sink that holds what it took; ``moods`` says what becomes of the next deliveries."""

    def __init__(self, moods: Sequence[str] = ()) -> None:
        self.moods = list(moods)
        self.got: list[Parcel] = []
        self.chunks: list[int] = []
        self.closed = False

    async def probe(self) -> None:
        return

    async def send(self, parcels: Sequence[Parcel]) -> None:
        await asyncio.sleep(0)
        mood = self.moods.pop(0) if self.moods else "take"
        self.chunks.append(len(parcels))
        match mood:
            case "away":
                raise SinkUnavailable("away")
            case "take, then break":
                self.got += parcels
                raise SinkUnavailable("broke after taking")
            case "half":
                self.got += parcels[: len(parcels) // 2]
                raise SinkUnavailable("took half")
            case "refuse one":
                self.got += parcels[1:]
                raise SinkRejected({parcels[0].id: "bad"})
            case "bug":
                raise RuntimeError("a fault in the sink")
            case "hang":
                await asyncio.sleep(60)
        self.got += parcels

    async def close(self) -> None:
        self.closed = True


class Journal(Rows):
    """Acts, one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.rows = []
        self.grow(count)

    def grow(self, count: int) -> None:
        for _ in range(count):
            seq = len(self.rows) + 1
            act = Act(id=f"evt_{seq:05}", ts=TIME_MS + seq, action="key.create", actor="os:olga:1000", target="key:k")
            self.rows.append(Sequenced(seq, canonical(act)))


def make(
    folder: Path,
    journal: Rows,
    sink: Memory,
    plan: Plan | None = None,
    checkpoint: Checkpoint | None = None,
) -> Shipper:
    plan = plan or Plan(name="siem", workspace="prod", batch=7)
    state = ProgressFile(folder, plan.name)
    return Shipper(plan, sink, to_json, journal, lambda: checkpoint, state, ManualClock(), random.Random(1))


async def drain(shipper: Shipper, tries: int = 200) -> None:
    idle = 0
    for _ in range(tries):
        try:
            idle = 0 if await shipper.ship_once() else idle + 1
        except (SinkUnavailable, RuntimeError):
            idle = 0
        if idle > 1:
            return


MOODS = ["take", "away", "take, then break", "half", "refuse one", "bug"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.lists(st.sampled_from(MOODS), max_size=12), st.lists(st.integers(1, 6), max_size=4))
async def test_nothing_is_lost_whatever_the_sink_does_and_however_often_we_die(
    tmp_path_factory: pytest.TempPathFactory, count: int, moods: list[str], deaths: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("sinks")
    journal = Journal(count)
    sink = Memory(moods)
    for steps in deaths:
        shipper = make(folder, journal, sink)
        for _ in range(steps):
            try:
                await shipper.ship_once()
            except (SinkUnavailable, RuntimeError):
                continue
        await shipper.close()
    shipper = make(folder, journal, sink)
    await drain(shipper)
    refused = folder / "siem.rejected"
    told = {json.loads(line)["id"] for line in refused.read_text().splitlines()} if refused.exists() else set()
    assert {parcel.id for parcel in sink.got} | told == {f"evt_{seq:05}" for seq in range(1, count + 1)}
    first_seen = list(dict.fromkeys(parcel.seq for parcel in sink.got))
    assert first_seen == sorted(first_seen)
    assert shipper.progress.cursor == count
    await shipper.close()


async def test_the_chain_of_previous_sequences_shows_every_gap(tmp_path: Path) -> None:
    sink = Memory()
    shipper = make(tmp_path, Rows(), sink, Plan(name="siem", workspace="p", events=("GW-6", "GW-3"), batch=3))
    await drain(shipper)
    previous = 0
    assert sink.got
    for seq in dict.fromkeys(parcel.seq for parcel in sink.got):
        for parcel in (one for one in sink.got if one.seq == seq):
            assert json.loads(parcel.data)["unmapped"]["prev_seq"] == previous
        previous = seq
    assert all(parcel.code.startswith(("GW-6", "GW-3")) for parcel in sink.got)


async def test_severity_filters_too_but_never_holes(tmp_path: Path) -> None:
    journal = Journal(9)
    del journal.rows[3:6]
    journal.read = lambda start, limit: [row for row in journal.rows if row.seq >= start][:limit]  # type: ignore[method-assign]
    journal.size = lambda: 9  # type: ignore[method-assign]
    sink = Memory()
    shipper = make(tmp_path, journal, sink, Plan(name="s", workspace="p", at_least=Severity.HIGH))
    await drain(shipper)
    assert [(parcel.code, parcel.id) for parcel in sink.got] == [("GW-5901", "missing_4_6")]


async def test_a_changed_record_is_told_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    journal = Journal(3)
    journal.rows[1] = msgspec.structs.replace(journal.rows[1], data=b"changed")
    sink = Memory()
    await drain(make(tmp_path, journal, sink))
    assert [parcel.code for parcel in sink.got] == ["GW-3010", "GW-5900", "GW-3010"]


async def test_a_journal_that_was_cut_is_not_followed(tmp_path: Path) -> None:
    journal, sink = Journal(9), Memory()
    shipper = make(tmp_path, journal, sink)
    await drain(shipper)
    del journal.rows[5:]
    with pytest.raises(SinkUnavailable, match="cut"):
        await shipper.ship_once()


async def test_a_checkpoint_follows_what_it_covers(tmp_path: Path) -> None:
    journal, sink = Journal(9), Memory()
    early = make(tmp_path, journal, sink, checkpoint=Checkpoint("o", 20, b"r" * 32, TIME_MS))
    await drain(early)
    assert all(parcel.code != "GW-3090" for parcel in sink.got)
    await early.close()
    journal.grow(11)
    later = make(tmp_path, journal, sink, checkpoint=Checkpoint("o", 20, b"r" * 32, TIME_MS))
    await drain(later)
    assert [parcel.code for parcel in sink.got].count("GW-3090") == 1
    assert sink.got[-1].code == "GW-3090"
    await later.close()
    again = make(tmp_path, journal, sink, checkpoint=Checkpoint("o", 20, b"r" * 32, TIME_MS + 1000))
    await drain(again)
    assert [parcel.code for parcel in sink.got].count("GW-3090") == 1, "not more often than every minute"


async def test_only_one_shipper_works_on_a_sink(tmp_path: Path) -> None:
    journal, first, second = Journal(9), Memory(), Memory()
    one, other = make(tmp_path, journal, first), make(tmp_path, journal, second)
    await drain(one)
    await drain(other)
    assert len(first.got) == 9
    assert second.got == []
    await one.close()
    journal.grow(2)
    await drain(other)
    assert [parcel.seq for parcel in second.got] == [10, 11]


async def test_a_new_sink_may_start_with_what_comes_next(tmp_path: Path) -> None:
    journal, sink = Journal(9), Memory()
    shipper = make(tmp_path, journal, sink, Plan(name="s", workspace="p", from_now=True))
    await drain(shipper)
    journal.grow(1)
    await drain(shipper)
    assert [parcel.seq for parcel in sink.got] == [10]


async def test_a_damaged_cursor_is_never_guessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "siem.json").write_text("{")
    sink = Memory()
    shipper = make(tmp_path, Journal(1), sink)
    with pytest.raises(SinkUnavailable, match="restore it"):
        await shipper.ship_once()
    stop = asyncio.Event()
    running = asyncio.create_task(shipper.run(stop))
    await asyncio.sleep(0.05)
    stop.set()
    await running
    assert "restore it" in caplog.text
    assert (tmp_path / "siem.json").read_text() == "{"
    assert sink.got == []


async def test_large_batches_are_sent_in_parts(tmp_path: Path) -> None:
    journal, sink = Journal(0), Memory()
    for seq in range(1, 101):
        act = Act(id=f"evt_{seq:05}", ts=TIME_MS, action="key.create", actor="a" * 20_000, target="k")
        journal.rows.append(Sequenced(seq, canonical(act)))
    await drain(make(tmp_path, journal, sink, Plan(name="s", workspace="p", batch=100)))
    assert len(sink.got) == 100
    assert max(sink.chunks) * 20_000 <= MAX_CHUNK_BYTES
    assert len(sink.chunks) > 1


async def test_trouble_is_kept_for_the_operator_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greffier.audit.shipping._FIRST_PAUSE_S", 0.1)
    journal, sink = Journal(3), Memory(["away", "hang", "bug"])
    shipper = make(tmp_path, journal, sink, Plan(name="siem", workspace="p", timeout_s=0.05))
    stop = asyncio.Event()
    running = asyncio.create_task(shipper.run(stop))
    seen: set[str] = set()
    async with asyncio.timeout(20):
        while len(sink.got) < 3:
            kept = ProgressFile(tmp_path, "siem").load()
            seen.add(kept.error if kept else "")
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert {"away", "no acknowledgement within 0.05 s"} <= seen
    assert any("RuntimeError" in error for error in seen)
    kept = ProgressFile(tmp_path, "siem").load()
    assert kept is not None
    assert kept.error == ""
    assert kept.delivered == 3
    assert sink.closed


async def test_what_came_last_is_shipped_on_the_way_out(tmp_path: Path) -> None:
    journal, sink = Journal(3), Memory()
    shipper = make(tmp_path, journal, sink)
    stop = asyncio.Event()
    running = asyncio.create_task(shipper.run(stop))
    async with asyncio.timeout(5):
        while len(sink.got) < 3:  # noqa: ASYNC110 - the sink of the test has nothing to wait on
            await asyncio.sleep(0.01)
    journal.grow(20)
    stop.set()
    await running
    assert len(sink.got) == 23
