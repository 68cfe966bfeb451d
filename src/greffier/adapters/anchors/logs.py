"""Logs that a witness can follow: a server with C2SP tlog-tiles, or a folder."""

from greffier.adapters.anchors.fetch import NotThere, Unreachable, fetch
from greffier.audit.merkle import HASH_BYTES
from greffier.audit.sealer import read_note
from greffier.audit.tiles import WIDTH, BadLog, TileStore, encode_index

_NOTE_BYTES = 16_384


class HttpLog:
    """`LogSource` behind HTTP."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")

    def checkpoint(self) -> str:
        """See `LogSource.checkpoint`."""
        return self._get("checkpoint", _NOTE_BYTES).decode("utf-8", "replace")

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """See `TileSource.tile`. Where the partial tile is gone, the full one holds its hashes first."""
        name = f"tile/{level}/{encode_index(index)}"
        if width < WIDTH:
            try:
                data = fetch(f"{self._base}/{name}.p/{width}", WIDTH * HASH_BYTES)
            except NotThere:
                data = self._get(name, WIDTH * HASH_BYTES)
            except Unreachable as error:
                raise BadLog(str(error)) from error
        else:
            data = self._get(name, WIDTH * HASH_BYTES)
        if len(data) % HASH_BYTES or len(data) < width * HASH_BYTES:
            raise BadLog(f"{name} has {len(data)} bytes instead of {width * HASH_BYTES}")
        return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]

    def _get(self, name: str, limit: int) -> bytes:
        try:
            return fetch(f"{self._base}/{name}", limit)
        except Unreachable as error:
            raise BadLog(str(error)) from error


class FolderLog:
    """`LogSource` in a folder."""

    def __init__(self, store: TileStore) -> None:
        self._store = store

    def checkpoint(self) -> str:
        """See `LogSource.checkpoint`."""
        note = read_note(self._store)
        if note is None:
            raise BadLog("the log has no checkpoint")
        return note

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """See `TileSource.tile`."""
        return self._store.tile(level, index, width)
