"""What the scripted upstream is told to do, and how the orders are read from a message."""

import itertools
import re
from typing import Any

import msgspec

_MARKER = re.compile(r"\[\[([a-z_]+)(?:=(.*?))?\]\]", re.DOTALL)


class Script(msgspec.Struct, frozen=True):
    """Orders for one answer. Every field is also a marker: ``[[say=hello]]``, ``[[cut]]``, ``[[status=503]]``.

    Attributes:
        say: Text of the answer; None echoes the last user message without its markers.
        delay: Milliseconds before anything is sent.
        status: HTTP status; anything but 200 sends the API's error body.
        statuses: One status per repetition of the same message, for example ``503,503,200``.
        code: ``error.code`` of an error answer.
        retry_after: Seconds, sent as ``retry-after``.
        chunks: Number of text fragments in a stream.
        gap: Milliseconds between fragments.
        cut: Drop the connection in mid-body.
        truncate: End the body early but cleanly: a stream without finish and ``[DONE]``, or half a JSON document.
        false_done: End the stream with ``[DONE]`` but without a finish reason.
        hang: Accept the request and never answer.
        hang_mid: Fall silent in mid-body.
        html: Answer 200 with an HTML page.
        malformed: Send broken JSON, or a broken SSE frame in mid-stream.
        binary: Send bytes that are not UTF-8.
        endless: Never stop sending.
        big: Megabytes of text to answer with.
        big_header: Kilobytes of response header.
        tool: Comma-separated names of tools to call.
        args: JSON arguments of those calls.
        error_frame: Send an error frame in mid-stream.
        no_usage: Leave usage out.
        zero_usage: Say that nothing was used.
        count_one: Count one answer only, however many were asked for, as llama.cpp does.
        two_usages: Send the usage chunk twice.
        cached: Prompt tokens reported as read from a cache.
        redirect: Answer 302 to the cloud metadata address.
        finish: Finish reason in OpenAI words.
        crlf: End SSE lines with CRLF, and add comments.
        close: Send ``connection: close`` and close after the answer.
        chunked: Send a plain answer with chunked transfer coding.
        thinking: Put a thinking block (Anthropic) or ``reasoning_content`` before the answer.
    """

    say: str | None = None
    delay: float = 0
    status: int = 200
    statuses: str = ""
    code: str = ""
    retry_after: str = ""
    chunks: int = 0
    gap: float = 0
    cut: bool = False
    truncate: bool = False
    false_done: bool = False
    hang: bool = False
    hang_mid: bool = False
    html: bool = False
    malformed: bool = False
    binary: bool = False
    endless: bool = False
    big: int = 0
    big_header: int = 0
    tool: str = ""
    args: str = '{"city": "Paris"}'
    error_frame: bool = False
    no_usage: bool = False
    zero_usage: bool = False
    count_one: bool = False
    two_usages: bool = False
    cached: int = 0
    redirect: bool = False
    finish: str = ""
    crlf: bool = False
    close: bool = False
    chunked: bool = False
    thinking: bool = False

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools to call."""
        return tuple(name for name in self.tool.split(",") if name)

    def text(self, user: str) -> str:
        """The answer's text, given the last user message."""
        if self.say is not None:
            return self.say
        if self.chunks:
            return "".join(f"word{i} " for i in range(self.chunks))
        return _MARKER.sub("", user).strip() or "ok"

    def fragments(self, text: str) -> list[str]:
        """The answer cut into fragments: ``chunks`` of them, or one per word."""
        if not self.chunks:
            words = text.split(" ")
            return [word + " " for word in words[:-1]] + words[-1:]
        while len(text) < self.chunks:
            text += text or "."
        edges = [len(text) * i // self.chunks for i in range(self.chunks + 1)]
        return [text[start:end] for start, end in itertools.pairwise(edges)]


def read_script(user: str) -> Script:
    """Read the orders from a user message.

    Raises:
        ValueError: An unknown marker, or a value of the wrong type: a test with a typo must not pass.
    """
    orders: dict[str, Any] = {name: True if value is None else value for name, value in _markers(user)}
    if unknown := orders.keys() - set(Script.__struct_fields__):
        raise ValueError(f"unknown marker: {', '.join(sorted(unknown))}")
    return msgspec.convert(orders, Script, strict=False)


def _markers(user: str) -> list[tuple[str, str | None]]:
    if "[[" not in user:
        return []
    return [(match[1], match[2]) for match in _MARKER.finditer(user)]


def last_user_text(body: Any) -> str:
    """The text of the last user message of a request in either dialect; empty if there is none."""
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in reversed(messages or []):
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        texts = [part.get("text", "") for part in content or [] if part.get("type") == "text"]
        if texts:
            return "\n".join(texts)
    return ""
