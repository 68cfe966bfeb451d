"""A spool gives back what it acknowledged, in its order, whatever happened to the file's end."""

import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.audit.ports import JournalUnavailable
from greffier.storage.spool import Kept, Spool

PLENTY = 1 << 20


def kept(*numbers: int, writer: str = "w", data: bytes = b'{"kind":"act"}') -> list[Kept]:
    return [Kept(writer, number, data) for number in numbers]


def abandoned(folder: Path, *batches: list[Kept]) -> Path:
    """A spool whose worker died."""
    spool = Spool.create(folder, "dead", PLENTY)
    for batch in batches:
        spool.append(batch)
    spool.close()
    return folder / "dead.spool"


def test_what_waits_is_counted(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "w", PLENTY)
    assert (spool.waiting, spool.waiting_bytes) == (0, 0)
    spool.append(kept(1, 2, 3))
    spool.append(kept(4, 5))
    assert spool.waiting == 5
    assert spool.waiting_bytes == (tmp_path / "w.spool").stat().st_size
    assert len(spool.first(2)) == 2
    assert spool.waiting == 5, "given is not sent"
    spool.sent()
    assert spool.waiting == 3
    spool.close()
    (adopted,) = Spool.adopt(tmp_path)
    assert adopted.waiting == 5, "sending begins anew"
    everything(adopted)
    assert (adopted.waiting, adopted.waiting_bytes) == (0, 0)
    adopted.close()


def everything(spool: Spool, limit: int = 7) -> list[Kept]:
    found: list[Kept] = []
    while not spool.empty:
        found += spool.first(limit)
        spool.sent()
    return found


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 1 << 60), st.binary(max_size=60)),
            min_size=1,
            max_size=8,
        ),
        max_size=6,
    ),
    limit=st.integers(1, 9),
    torn=st.binary(max_size=40),
)
def test_what_was_acknowledged_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[str, int, bytes]]],
    limit: int,
    torn: bytes,
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    events = [[Kept(w, n, data.replace(b"\n", b"")) for w, n, data in batch] for batch in batches]
    path = abandoned(folder, *events)
    if not path.exists():  # nothing was in it
        assert not batches
        return
    with path.open("ab") as file:
        file.write(torn.replace(b"\n", b""))  # a line that was being written when the machine stopped
    (spool,) = Spool.adopt(folder)
    assert everything(spool, limit) == [event for batch in events for event in batch]
    spool.close()
    assert not path.exists()


def test_one_look_gives_events_of_one_writer(tmp_path: Path) -> None:
    abandoned(tmp_path, kept(1, 2, writer="line"), kept(1, writer="spool"))
    (spool,) = Spool.adopt(tmp_path)
    assert [event.writer for event in spool.first(10)] == ["line", "line"]
    spool.sent()
    assert [event.writer for event in spool.first(10)] == ["spool"]
    spool.close()
    (again,) = Spool.adopt(tmp_path)
    assert len(again.first(1)) == 1, "what was not sent to its end is sent again from the beginning"
    again.close()


def test_a_damaged_line_is_counted_left_out_and_kept_aside(tmp_path: Path) -> None:
    path = abandoned(tmp_path, kept(1, 2, 3))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"act", b"ACT") + lines[2])
    (spool,) = Spool.adopt(tmp_path)
    assert [event.number for event in everything(spool)] == [1, 3]
    assert spool.damaged == 1
    assert b"ACT" in (tmp_path / "dead.damaged").read_bytes()
    spool.close()


def test_a_living_workers_spool_is_left_alone(tmp_path: Path) -> None:
    living = Spool.create(tmp_path, "living", PLENTY)
    living.append(kept(1))
    assert Spool.adopt(tmp_path) == []
    assert Spool.adopt(tmp_path / "none") == []
    assert (tmp_path / "living.spool").stat().st_mode & 0o077 == 0
    living.close()


def test_a_full_disk_refuses_whole_batches_and_recovers(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "w", PLENTY)
    spool.append(kept(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "w.spool").stat().st_size + 30, hard))
    try:
        with pytest.raises(JournalUnavailable, match="cannot be written"):
            spool.append(kept(2, 3, 4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(kept(5))
    assert [event.number for event in everything(spool)] == [1, 5]
    spool.close()


def test_it_grows_to_its_bound_and_no_further(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, "w", 200)
    for number in range(5):
        spool.append(kept(number))
    with pytest.raises(JournalUnavailable, match="full"):
        spool.append(kept(5, 6, 7))
    assert (tmp_path / "w.spool").stat().st_size <= 200
    assert everything(spool)
    spool.append(kept(11))
    assert [event.number for event in everything(spool)] == [11]
    spool.close()
