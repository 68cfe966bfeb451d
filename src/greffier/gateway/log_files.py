"""Serve the log's files to anyone, read-only, as C2SP tlog-tiles. No credentials, no listing, no writing.

Only names that the format has are looked up, so nothing outside the log's folder can be named. The entries behind the
hashes (records of requests, without content) are served only when asked for: witnesses do not need them.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_PREFIX = "/log/"
_DIGITS = 3
_LEVELS = 64
_WIDTH = 256
_HOUR = "0000-00-00T00.note"
_FOREVER = b"public, max-age=31536000, immutable"
_FRESH = b"no-cache"
_MAX_BYTES = 33_554_432


class LogFiles:
    """ASGI application over the folder of one log, at ``/log/``."""

    def __init__(self, folder: Path, *, entries: bool = False) -> None:
        """Name the folder.

        Args:
            folder: The log's folder.
            entries: Whether to serve ``tile/entries`` too.
        """
        self._folder = folder
        self._entries = entries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        head = scope["method"] == "HEAD"
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, b"only GET and HEAD\n", head=head, more=[(b"allow", b"GET, HEAD")])
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        name = raw.partition(b"?")[0].decode("latin-1").removeprefix(_PREFIX)
        kind = _kind(name) if raw.startswith(_PREFIX.encode()) else None
        data = None if kind is None or (kind == "entries" and not self._entries) else self._read(name)
        if data is None:
            await _answer(send, 404, b"not found\n", head=head)
            return
        text = kind in {"checkpoint", "hour"}
        media = b"text/plain; charset=utf-8" if text else b"application/octet-stream"
        cache = _FRESH if kind == "checkpoint" else _FOREVER
        await _answer(send, 200, data, head=head, media=media, more=[(b"cache-control", cache)])

    def _read(self, name: str) -> bytes | None:
        try:
            handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read(_MAX_BYTES)


def _kind(name: str) -> str | None:
    """Which kind of file a name is of; None if the format has no such name."""
    if name == "checkpoint":
        return "checkpoint"
    first, _, rest = name.partition("/")
    if first == "checkpoints":
        return "hour" if _fits(rest, _HOUR) else None
    if first != "tile":
        return None
    level, _, index = rest.partition("/")
    if level != "entries" and not (_number(level) and int(level) < _LEVELS):
        return None
    return ("entries" if level == "entries" else "tile") if _index(index) else None


def _index(text: str) -> bool:
    """``x001/x234/067`` or ``x001/x234/067.p/8``, as written by `encode_index`."""
    whole, partial, width = text.partition(".p/")
    if partial and not (_number(width) and 0 < int(width) < _WIDTH):
        return False
    *groups, last = whole.split("/")
    return len(groups) < 8 and _group(last) and all(group[:1] == "x" and _group(group[1:]) for group in groups)  # noqa: PLR2004 - 10^24 tiles


def _group(text: str) -> bool:
    return len(text) == _DIGITS and text.isascii() and text.isdecimal()


def _number(text: str) -> bool:
    return 0 < len(text) <= _DIGITS and text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0")


def _fits(text: str, shape: str) -> bool:
    """Whether the text has digits where the shape has zeros, and is the same elsewhere."""
    return len(text) == len(shape) and all(
        (char.isascii() and char.isdecimal()) if wanted == "0" else char == wanted
        for char, wanted in zip(text, shape, strict=True)
    )


async def _answer(
    send: Send,
    status: int,
    data: bytes,
    *,
    head: bool,
    media: bytes = b"text/plain; charset=utf-8",
    more: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = [
        (b"content-type", media),
        (b"content-length", str(len(data)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"access-control-allow-origin", b"*"),
        *(more or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else data})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
