"""Drives an ASGI application in process, one request at a time, with control over when bytes come and go."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Reply(msgspec.Struct):
    """What came back.

    Attributes:
        status: HTTP status; 0 when nothing was sent.
        headers: By lower-case name; the last of repeated ones.
        body: All bytes.
        frames: The pieces in which they came.
        complete: Whether the end of the body was sent.
    """

    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    frames: list[bytes] = []
    complete: bool = False

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    def events(self) -> list[tuple[str, Any]]:
        """Server-sent events as (name, decoded data); comments left out, ``[DONE]`` as it stands."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = [line for line in block.split("\n") if line and not line.startswith(":")]
            if not lines:
                continue
            fields = dict(line.split(": ", 1) for line in lines)
            data = fields["data"]
            found.append((fields.get("event", ""), data if data == "[DONE]" else msgspec.json.decode(data)))
        return found


class Caller:
    """One request in progress.

    Args:
        app: The application.
        method: HTTP method.
        path: Path, decoded.
        headers: Header pairs.
        parts: Pieces of the body, in order; None stands for a body that never ends.

    Attributes:
        reply: What came back so far.
        wrote: Set once something came back.
        unsent_when_answered: How many pieces of the body nobody had read when the answer began.
    """

    def __init__(
        self,
        app: App,
        method: str,
        path: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        parts: Iterable[bytes | None] = (b"",),
    ) -> None:
        self.reply = Reply()
        self.wrote = asyncio.Event()
        self.unsent_when_answered = 0
        self._app = app
        self._gone = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._parts = list(parts)
        self._scope: Message = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50000),
        }

    async def run(self) -> Reply:
        """Run the request to its end."""
        await self._app(self._scope, self._receive, self._send)
        return self.reply

    @property
    def unsent(self) -> int:
        """How many pieces of the body nobody has read."""
        return len(self._parts)

    def hang_up(self) -> None:
        """Close the connection."""
        self._gone.set()

    def stop_reading(self) -> None:
        """Leave further bytes unread: the application's next send waits."""
        self._reading.clear()

    async def _receive(self) -> Message:
        if self._parts:
            part = self._parts.pop(0)
            if part is not None:
                return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._reading.wait()
        if message["type"] == "http.response.start":
            self.reply.status = message["status"]
            self.unsent_when_answered = len(self._parts)
            self.reply.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            frame = message.get("body", b"")
            self.reply.body += frame
            self.reply.frames.append(frame)
            self.reply.complete = not message.get("more_body", False)
        self.wrote.set()


async def ask(
    app: App, method: str, path: str, body: bytes | object = b"", headers: Iterable[tuple[str, str]] = ()
) -> Reply:
    """Send one request; what is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await Caller(app, method, path, headers=headers, parts=(raw,)).run()
