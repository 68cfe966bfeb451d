"""Turns a script into bytes on a connection, faults included."""

import asyncio
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from greffier.testing.upstream import anthropic, openai
from greffier.testing.upstream.script import Script

_MEGABYTE = 1_048_576
_PIECE = "x" * 65_536
_OK = 200


class Answer(msgspec.Struct, frozen=True):
    """An answer ready to be sent.

    Attributes:
        script: What was ordered.
        head: Status line and headers, without the blank line.
        body: The whole body of a plain answer.
        frames: The SSE frames of a stream.
        filler: One more frame or piece, for bodies that are big or never end.
        at_once: Everything in one piece, when nothing has to be waited for.
        close: Close the connection afterwards.
    """

    script: Script
    head: bytes
    body: bytes = b""
    frames: tuple[bytes, ...] | None = None
    filler: bytes = b""
    at_once: bytes | None = None
    close: bool = False


def bad_script(reason: str) -> Answer:
    """The answer to an order nobody understands."""
    body = json.dumps({"error": {"message": f"bad script: {reason}", "type": "scripted", "code": "bad_script"}})
    return _plain(Script(status=418), 418, body.encode())


def prepare(script: Script, path: str, body: Any, user: str) -> Answer:
    """Decide the answer to a request."""
    route = path.split("?", 1)[0].rstrip("/")
    speaks_anthropic = route.endswith("/messages")
    return _fault(script, speaks_anthropic=speaks_anthropic) or _answer(script, route, body, user)


def _fault(script: Script, *, speaks_anthropic: bool) -> Answer | None:
    if script.redirect:
        return _plain(script, 302, b"", b"location: http://169.254.169.254/latest/meta-data/\r\n")
    if script.status != _OK:
        error = anthropic.error(script, script.status) if speaks_anthropic else openai.error(script, script.status)
        return _plain(script, script.status, json.dumps(error).encode())
    if script.html:
        return _plain(script, _OK, b"<!doctype html><title>Sign in</title>", kind=b"text/html; charset=utf-8")
    return None


def _answer(script: Script, route: str, body: Any, user: str) -> Answer:
    speaks_anthropic = route.endswith("/messages")
    if route.endswith("/models"):
        return _plain(script, _OK, json.dumps(openai.models()).encode())
    if not isinstance(body, dict):
        return _plain(script, 400, json.dumps(openai.error(script, 400)).encode())
    if route.endswith("/embeddings"):
        return _plain(script, _OK, json.dumps(openai.embeddings(body)).encode())
    if not (speaks_anthropic or route.endswith("/chat/completions")):
        return _plain(script, 404, json.dumps(openai.error(script, 404)).encode())
    text = script.text(user)
    if body.get("stream"):
        return _stream(script, body, text, speaks_anthropic=speaks_anthropic)
    answer = anthropic.plain(script, body, text) if speaks_anthropic else openai.plain(script, body, text)
    return _plain(script, _OK, json.dumps(answer).encode())


def _head(script: Script, status: int, kind: bytes, extra: bytes) -> bytes:
    head = b"HTTP/1.1 %d Scripted\r\ncontent-type: %s\r\nx-request-id: req_scripted\r\n" % (status, kind) + extra
    if script.retry_after:
        head += b"retry-after: " + script.retry_after.encode() + b"\r\n"
    if script.big_header:
        head += b"x-filler: " + b"h" * (1024 * script.big_header) + b"\r\n"
    if script.close:
        head += b"connection: close\r\n"
    return head


def _plain(script: Script, status: int, body: bytes, extra: bytes = b"", kind: bytes = b"application/json") -> Answer:
    if script.malformed:
        body = body[:-1] + b",]"
    if script.binary:
        body = body.replace(b'"choices"', b'"\xff\xfe"').replace(b'"content"', b'"\xff\xfe"')
    if script.truncate:
        body = body[: len(body) // 2]
    head = _head(script, status, kind, extra)
    waits = script.delay or script.hang or script.hang_mid or script.cut or script.endless or script.big
    if script.chunked or script.endless or script.big:
        return Answer(
            script, head + b"transfer-encoding: chunked\r\n", body, filler=_PIECE.encode(), close=script.close
        )
    head += b"content-length: %d\r\n" % len(body)
    at_once = None if waits else head + b"\r\n" + body
    return Answer(script, head, body, at_once=at_once, close=script.close)


def _stream(script: Script, body: Any, text: str, *, speaks_anthropic: bool) -> Answer:
    frames = list(_anthropic_frames(script, body, text) if speaks_anthropic else _openai_frames(script, body, text))
    half = len(frames) // 2
    if script.malformed:
        frames[half] = b'data: {"id": "broken", \n\n'
    if script.binary:
        frames[half] = b'data: {"type": "\xff\xfe", "id": "\xff\xfe"}\n\n'
    if script.error_frame:
        error = {"type": "overloaded_error", "message": "scripted error frame"}
        event = b"event: error\n" if speaks_anthropic else b""
        payload = {"type": "error", "error": error} if speaks_anthropic else {"error": error | {"code": "overloaded"}}
        frames[half:] = [event + b"data: " + json.dumps(payload).encode() + b"\n\n"]
    if script.truncate:
        frames = frames[:half]
    if script.crlf:
        frames = [b": ping\r\n\r\n" + frame.replace(b"\n", b"\r\n") for frame in frames]
    head = _head(script, _OK, b"text/event-stream; charset=utf-8", b"cache-control: no-store\r\n")
    big = _PIECE if script.big else "more "
    filler = _anthropic_frame(anthropic.filler(big)) if speaks_anthropic else _frame(openai.filler(body, big))
    return Answer(
        script,
        head + b"transfer-encoding: chunked\r\n",
        frames=tuple(frames),
        filler=filler,
        close=script.close,
    )


def _frame(payload: str) -> bytes:
    return f"data: {payload}\n\n".encode()


def _anthropic_frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _openai_frames(script: Script, body: Any, text: str) -> Iterator[bytes]:
    return (_frame(payload) for payload in openai.stream(script, body, text))


def _anthropic_frames(script: Script, body: Any, text: str) -> Iterator[bytes]:
    return (_anthropic_frame(event) for event in anthropic.stream(script, body, text))


async def send(answer: Answer, transport: asyncio.Transport, writable: asyncio.Event) -> bool:
    """Send an answer as its script says; return whether it was sent whole. Cancelled when the client goes away."""
    script = answer.script
    if script.delay:
        await asyncio.sleep(script.delay / 1000)
    if script.hang:
        await asyncio.Event().wait()
    chunked = b"transfer-encoding: chunked" in answer.head
    transport.write(answer.head + b"\r\n")
    half = _text_start(answer.body) or len(answer.body) // 2
    pieces = answer.frames if answer.frames is not None else (answer.body[:half], answer.body[half:])
    middle = max(1, len(pieces) // 2)
    for piece in pieces[:middle]:
        await _write(piece, script, transport, writable, chunked=chunked)
    if script.cut:
        await asyncio.sleep(0.02)  # let what was written arrive first, so that the cut is in mid-body
        transport.abort()
        return False
    if script.hang_mid:
        await asyncio.Event().wait()
    fillers: Iterable[int] = range(script.big * _MEGABYTE // len(answer.filler)) if answer.filler else ()
    for _ in itertools.count() if script.endless else fillers:
        await _write(answer.filler, script, transport, writable, chunked=chunked)
        await asyncio.sleep(0)
    for piece in pieces[middle:]:
        await _write(piece, script, transport, writable, chunked=chunked)
    if chunked:
        transport.write(b"0\r\n\r\n")
    return True


def _text_start(body: bytes) -> int:
    """Where the answer's text begins in a plain body, so that filler makes it longer and not invalid."""
    return next((body.find(key) + len(key) for key in (b'"content": "', b'"text": "') if key in body), 0)


async def _write(
    piece: bytes, script: Script, transport: asyncio.Transport, writable: asyncio.Event, *, chunked: bool
) -> None:
    if not piece:
        return
    await writable.wait()
    transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
    if script.gap:
        await asyncio.sleep(script.gap / 1000)
