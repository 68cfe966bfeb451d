"""The Merkle log as static files in the layout of C2SP tlog-tiles (c2sp.org/tlog-tiles).

    checkpoint                       the newest signed checkpoint
    checkpoints/2026-11-24T07.note   the last checkpoint of each hour, kept for good
    tile/<L>/<N>[.p/<W>]             256 (or W < 256) hashes of level 8*L
    tile/entries/<N>[.p/<W>]         the events behind a tile of level 0, each with its length as big-endian uint16

Any web server can serve the folder, and existing tlog clients can follow it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from greffier.audit.merkle import HASH_BYTES, perfect_root

WIDTH = 256
HEIGHT = 8  # a tile spans 8 levels of the tree
_LENGTH_BYTES = 2


class BadLog(Exception):  # noqa: N818 - named for what was found
    """The log's files, or the journal beside them, are not what was sealed. The message says where."""


def encode_index(index: int) -> str:
    """Tile index as path elements: 1234067 becomes ``x001/x234/067``."""
    elements = [f"{index % 1000:03d}"]
    while index := index // 1000:
        elements.insert(0, f"x{index % 1000:03d}")
    return "/".join(elements)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries, each with its length before it."""
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def decode_bundle(data: bytes) -> list[bytes]:
    """Entries of a bundle.

    Raises:
        BadLog: The bundle ends inside an entry.
    """
    entries = []
    at = 0
    while at < len(data):
        end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        if at + _LENGTH_BYTES > len(data) or end > len(data):
            raise BadLog("an entry bundle ends inside an entry")
        entries.append(data[at + _LENGTH_BYTES : end])
        at = end
    return entries


class TileSource(Protocol):
    """Where tiles are read from: a folder, or a server."""

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """The first ``width`` hashes of a tile.

        Raises:
            BadLog: The tile is missing or has the wrong length.
        """
        ...


class TileStore:
    """Reads and writes the files of one log. Files appear whole or not at all; `flush` makes them durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._dirty: set[Path] = set()

    def path(self, level: int | str, index: int, width: int = WIDTH) -> Path:
        """File of a tile (``level`` a number) or of a bundle (``entries``)."""
        whole = f"tile/{level}/{encode_index(index)}"
        return self.folder / (whole if width == WIDTH else f"{whole}.p/{width}")

    # --- reading

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """The first ``width`` hashes of a tile.

        Raises:
            BadLog: The tile is missing or has the wrong length.
        """
        data = self._load(level, index, width)
        if len(data) % HASH_BYTES or len(data) < width * HASH_BYTES:
            raise BadLog(f"{self._name(level, index, width)} has {len(data)} bytes instead of {width * HASH_BYTES}")
        return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def bundle(self, index: int, width: int) -> list[bytes]:
        """The first ``width`` entries of a bundle.

        Raises:
            BadLog: The bundle is missing, damaged or short.
        """
        entries = decode_bundle(self._load("entries", index, width))
        if len(entries) < width:
            raise BadLog(f"{self._name('entries', index, width)} holds {len(entries)} entries instead of {width}")
        return entries[:width]

    def _load(self, level: int | str, index: int, width: int) -> bytes:
        # A partial tile may have been replaced by the full one, whose first hashes are the same.
        for candidate in (width, WIDTH):
            try:
                return self.path(level, index, candidate).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BadLog(f"{self._name(level, index, width)} cannot be read ({error})") from error
        raise BadLog(f"{self._name(level, index, width)} is missing")

    def _name(self, level: int | str, index: int, width: int) -> str:
        return str(self.path(level, index, width).relative_to(self.folder))

    # --- writing

    def put(self, level: int | str, index: int, width: int, data: bytes) -> None:
        """Write a tile or bundle; writing the same again is harmless.

        Raises:
            BadLog: A different one is there already.
        """
        path = self.path(level, index, width)
        if path.exists():
            if path.read_bytes() != data:
                raise BadLog(f"{self._name(level, index, width)} differs from what the journal says it must be")
        else:
            self.replace(path, data)
        if width == WIDTH:
            self._drop_partials(self.path(level, index, 0).parent)

    def replace(self, path: Path, data: bytes) -> None:
        """Write a file so that a crash leaves the old or the new one, never a piece."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        scratch.rename(path)
        self._dirty.add(path.parent)

    def flush(self) -> None:
        """Make every file written so far survive a power cut (its folder's entry too)."""
        folders = {parent for folder in self._dirty for parent in (folder, *folder.parents) if self._inside(parent)}
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._dirty.clear()

    def _inside(self, folder: Path) -> bool:
        return folder == self.folder or self.folder in folder.parents

    def _drop_partials(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        for partial in folder.iterdir():
            partial.unlink()
        folder.rmdir()
        self._dirty.discard(folder)


class TileNodes:
    """Nodes of the first ``size`` leaves, read from tiles; keeps the last tiles read. Callable as `merkle.Nodes`."""

    _KEPT = 64

    def __init__(self, store: TileSource, size: int) -> None:
        self._store = store
        self._size = size
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """The node at (level, index).

        Raises:
            BadLog: A tile is missing or damaged.
        """
        tile_level, below = divmod(level, HEIGHT)
        first = index << below  # position of the subtree's first hash within the row of that tile level
        tile, offset = divmod(first, WIDTH)
        return perfect_root(self._tile(tile_level, tile)[offset : offset + (1 << below)])

    def _tile(self, level: int, index: int) -> list[bytes]:
        found = self._tiles.get((level, index))
        if found is None:
            row = self._size >> (HEIGHT * level)
            found = self._store.tile(level, index, min(WIDTH, row - index * WIDTH))
            if len(self._tiles) >= self._KEPT:
                self._tiles.pop(next(iter(self._tiles)))
            self._tiles[level, index] = found
        return found


class TileWriter:
    """Appends entries to a log's tiles. Holds the right edge: the unfinished tile of each level, and its entries."""

    def __init__(self, store: TileStore, size: int) -> None:
        """Take up a log of ``size`` entries.

        Raises:
            BadLog: Its right edge is missing or damaged.
        """
        self._store = store
        self.size = size
        self._edges: list[list[bytes]] = []
        row, level = size, 0
        while row:
            index, width = divmod(row, WIDTH)
            self._edges.append(store.tile(level, index, width) if width else [])
            row, level = index, level + 1
        index, width = divmod(size, WIDTH)
        self._entries = store.bundle(index, width) if width else []

    def append(self, entry: bytes, leaf: bytes) -> None:
        """Add an entry and its leaf hash; full tiles are written on the way.

        Raises:
            BadLog: A tile that was there already says otherwise.
        """
        self._entries.append(entry)
        self.size += 1
        if len(self._entries) == WIDTH:
            self._store.put("entries", self.size // WIDTH - 1, WIDTH, encode_bundle(self._entries))
            self._entries = []
        self._push(0, leaf)

    def _push(self, level: int, node: bytes) -> None:
        if level == len(self._edges):
            self._edges.append([])
        edge = self._edges[level]
        edge.append(node)
        if len(edge) == WIDTH:
            self._store.put(level, (self.size >> (HEIGHT * (level + 1))) - 1, WIDTH, b"".join(edge))
            self._edges[level] = []
            self._push(level + 1, perfect_root(edge))

    def finish(self) -> None:
        """Write the partial tiles of the present size and make everything durable: a checkpoint may follow.

        Raises:
            BadLog: A tile that was there already says otherwise.
        """
        for level, edge in enumerate(self._edges):
            if edge:
                self._store.put(level, self.size >> (HEIGHT * (level + 1)), len(edge), b"".join(edge))
        if self._entries:
            self._store.put("entries", self.size // WIDTH, len(self._entries), encode_bundle(self._entries))
        self._store.flush()
