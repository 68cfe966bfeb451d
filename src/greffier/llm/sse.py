"""Server-sent events, parsed as they arrive: no I/O, bounded memory (WHATWG HTML section 9.2, "event stream")."""

import msgspec

_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 1_048_576


class SseEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        event: Event name; empty when the stream gave none.
        data: Its data lines, joined by line feeds.
    """

    event: bytes
    data: bytes


class SseError(ValueError):
    """The stream holds an event larger than the bound."""


class SseParser:
    """Feed it bytes in any slices; it returns the events they complete.

    Lines may end with LF, CRLF or CR. Comments, ``id`` and ``retry`` are skipped; events without data are dropped.

    Args:
        max_event_bytes: Most bytes of one event, line or comment.
    """

    __slots__ = ("_data", "_event", "_held", "_held_size", "_max", "_size", "_started")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._held: list[bytes] = []  # the beginning of a line whose end has not arrived
        self._held_size = 0
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""
        self._started = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes.

        Raises:
            SseError: An event is too large.
        """
        after_cr = bool(self._held) and self._held[-1] == b"\r"
        if not chunk or not (after_cr or b"\n" in chunk or b"\r" in chunk):
            self._hold(chunk)
            return []
        if self._held:
            self._held.append(chunk)
            chunk = b"".join(self._held)
            self._held = []
            self._held_size = 0
        if not self._started:
            self._started = True
            chunk = chunk.removeprefix(_BOM)
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):  # the LF of a CRLF may be in the next slice
                self._hold(b"\r")
                chunk = chunk[:-1]
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        if rest := lines.pop():
            self._held.insert(0, rest)
            self._held_size += len(rest)
            if self._held_size > self._max:
                raise SseError(f"an event has more than {self._max} bytes")
        return self._take(lines)

    def finish(self) -> list[SseEvent]:
        """The stream ended: an event whose blank line never came is dropped, as the standard says."""
        ended = b"".join(self._held)
        self._held = []
        self._held_size = 0
        return self._take([b""]) if ended == b"\r" else []

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._held.append(piece)
        self._held_size += len(piece)
        if self._held_size > self._max:
            raise SseError(f"an event has more than {self._max} bytes")

    def _take(self, lines: list[bytes]) -> list[SseEvent]:
        events: list[SseEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append(SseEvent(self._event, data))
                    self._data = []
                    self._size = 0
                self._event = b""
            elif line.startswith(b"data:"):
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._size += len(value) + 1
                if self._size > self._max:
                    raise SseError(f"an event has more than {self._max} bytes")
                self._data.append(value)
            elif line.startswith(b"event:"):
                self._event = line[7:] if line.startswith(b"event: ") else line[6:]
            elif line == b"data":
                self._data.append(b"")
        return events
