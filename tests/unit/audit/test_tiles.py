from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.audit.merkle import Frontier, frontier_at, inclusion_proof, leaf_hash, root_of_inclusion
from greffier.audit.tiles import BadLog, TileNodes, TileStore, TileWriter, decode_bundle, encode_bundle, encode_index

ENTRIES = [b"entry %d" % number for number in range(70_000)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def root(size: int) -> bytes:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    return frontier.root()


def extend(store: TileStore, start: int, end: int) -> None:
    writer = TileWriter(store, start)
    for index in range(start, end):
        writer.append(ENTRIES[index], LEAVES[index])
    writer.finish()


@pytest.mark.parametrize(("index", "path"), [(0, "000"), (7, "007"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_index_is_encoded_as_the_specification_shows(index: int, path: str) -> None:
    assert encode_index(index) == path


def test_a_tree_of_70000_has_the_tiles_the_specification_lists(tmp_path: Path) -> None:
    store = TileStore(tmp_path)
    extend(store, 0, 70_000)

    def count(pattern: str) -> int:
        return len([path for path in (tmp_path / "tile").glob(pattern) if path.is_file()])

    assert count("0/[0-9]*") + count("0/x*/*") == 273
    assert (tmp_path / "tile/0/273.p/112").stat().st_size == 112 * 32
    assert (tmp_path / "tile/1/000").stat().st_size == 256 * 32
    assert (tmp_path / "tile/1/001.p/17").stat().st_size == 17 * 32
    assert (tmp_path / "tile/2/000.p/1").stat().st_size == 32
    assert decode_bundle((tmp_path / "tile/entries/273.p/112").read_bytes()) == ENTRIES[273 * 256 :]
    nodes = TileNodes(store, 70_000)
    assert frontier_at(70_000, nodes).root() == root(70_000)
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        proof = inclusion_proof(index, 70_000, nodes)
        assert root_of_inclusion(index, 70_000, LEAVES[index], proof) == root(70_000)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_growing_in_steps_gives_the_same_files_as_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    stepwise, once = (TileStore(tmp_path_factory.mktemp("log")) for _ in range(2))
    size = 0
    for step in steps:
        extend(stepwise, size, size + step)
        size += step
        assert frontier_at(size, TileNodes(stepwise, size)).root() == root(size)
    extend(once, 0, size)
    for path in (file for file in once.folder.rglob("*") if file.is_file()):
        twin = stepwise.folder / path.relative_to(once.folder)
        assert twin.read_bytes() == path.read_bytes()


def test_full_tiles_replace_their_partial_ones_and_older_trees_stay_readable(tmp_path: Path) -> None:
    store = TileStore(tmp_path)
    extend(store, 0, 200)
    extend(store, 200, 300)
    assert not (tmp_path / "tile/0/000.p").exists()
    assert not (tmp_path / "tile/entries/000.p").exists()
    assert frontier_at(200, TileNodes(store, 200)).root() == root(200)
    assert store.bundle(0, 200) == ENTRIES[:200]


def test_writing_again_after_a_crash_is_harmless_and_a_different_tile_is_refused(tmp_path: Path) -> None:
    store = TileStore(tmp_path)
    extend(store, 0, 300)
    extend(store, 0, 310)  # as after a crash before the first checkpoint
    tile = tmp_path / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(BadLog, match="tile/0/000 differs"):
        extend(store, 0, 310)


def test_truncated_and_missing_tiles_are_named(tmp_path: Path) -> None:
    store = TileStore(tmp_path)
    extend(store, 0, 300)
    tile = tmp_path / "tile/0/001.p/44"
    tile.write_bytes(tile.read_bytes()[:-1])
    with pytest.raises(BadLog, match="tile/0/001"):
        TileWriter(store, 300)
    tile.unlink()
    with pytest.raises(BadLog, match=r"tile/0/001\.p/44 is missing"):
        TileWriter(store, 300)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5), st.integers(1, 30))
def test_a_cut_bundle_is_never_read_as_the_whole(entries: list[bytes], cut: int) -> None:
    data = encode_bundle(entries)
    short = data[: -min(cut, len(data))]
    try:
        found = decode_bundle(short)
    except BadLog:
        return
    assert len(found) < len(entries)
