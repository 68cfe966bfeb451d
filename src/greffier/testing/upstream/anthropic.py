"""Answers in the Anthropic shape."""

import json
from collections.abc import Iterator
from typing import Any

from greffier.testing.upstream.script import Script

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def error(script: Script, status: int) -> dict[str, Any]:
    """An error body."""
    message = f"scripted {status}" + (f": {script.code}" if script.code else "")
    kind = _ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}


def _stop(script: Script) -> str:
    return _STOP.get(script.finish, script.finish) or ("tool_use" if script.tools else "end_turn")


def _usage(script: Script, body: Any, text: str) -> dict[str, int]:
    prompt = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", []))
    return {
        "input_tokens": prompt,
        "output_tokens": len(text.split()),
        "cache_read_input_tokens": script.cached,
        "cache_creation_input_tokens": 0,
    }


def _blocks(script: Script, text: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if script.thinking:
        blocks.append({"type": "thinking", "thinking": "let me think", "signature": "c2ln"})
    if not script.tools:
        blocks.append({"type": "text", "text": text})
    blocks += [
        {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": json.loads(script.args)}
        for i, name in enumerate(script.tools)
    ]
    return blocks


def plain(script: Script, body: Any, text: str) -> dict[str, Any]:
    """A whole answer."""
    answer: dict[str, Any] = {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": _blocks(script, text),
        "stop_reason": _stop(script),
        "stop_sequence": None,
    }
    if not script.no_usage:
        answer["usage"] = _usage(script, body, text)
    return answer


def _block_events(script: Script, text: str) -> Iterator[dict[str, Any]]:
    for index, block in enumerate(_blocks(script, text)):
        start: dict[str, Any]
        deltas: list[dict[str, Any]]
        if block["type"] == "text":
            start = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in script.fragments(text)]
        elif block["type"] == "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        else:
            start = {**block, "input": {}}
            half = len(script.args) // 2
            pieces = ("", script.args[:half], script.args[half:])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


def stream(script: Script, body: Any, text: str) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer."""
    head = plain(script, body, text) | {"content": [], "stop_reason": None}
    if not script.no_usage:
        head["usage"] = _usage(script, body, text) | {"output_tokens": 1}
    yield {"type": "message_start", "message": head}
    yield {"type": "ping"}
    yield from _block_events(script, text)
    if script.false_done:
        return
    delta: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop(script), "stop_sequence": None},
        "usage": {"output_tokens": len(text.split())},
    }
    yield delta
    yield {"type": "message_stop"}


def filler(text: str) -> dict[str, Any]:
    """One more fragment, for streams that never end."""
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
