"""Answers in the OpenAI shape."""

import hashlib
import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from greffier.testing.upstream.script import Script

CREATED = 1_700_000_000
DONE = "[DONE]"


def error(script: Script, status: int) -> dict[str, Any]:
    """An error body."""
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - HTTP's own number
    message = f"scripted {status}" + (f": {script.code}" if script.code else "")
    return {"error": {"message": message, "type": kind, "param": None, "code": script.code or None}}


def usage(script: Script, body: Any, text: str) -> dict[str, Any]:
    """Tokens, counted as words."""
    prompt = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", []))
    answer = len(text.split()) * (1 if script.count_one else int(body.get("n") or 1))
    if script.zero_usage:
        prompt = answer = 0
    return {
        "prompt_tokens": prompt + script.cached,
        "completion_tokens": answer,
        "total_tokens": prompt + script.cached + answer,
        "prompt_tokens_details": {"cached_tokens": script.cached},
    }


def _finish(script: Script) -> str:
    return script.finish or ("tool_calls" if script.tools else "stop")


def plain(script: Script, body: Any, text: str) -> dict[str, Any]:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None if script.tools else text}
    if script.thinking:
        message["reasoning_content"] = "let me think"
    if script.tools:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": script.args}}
            for i, name in enumerate(script.tools)
        ]
    answer = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model", "scripted"),
        "choices": [
            {"index": i, "message": message, "logprobs": None, "finish_reason": _finish(script)}
            for i in range(int(body.get("n") or 1))
        ],
        "system_fingerprint": "fp_scripted",
    }
    if not script.no_usage:
        answer["usage"] = usage(script, body, text)
    return answer


def _deltas(script: Script, text: str) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if script.tools else ""}
    if script.thinking:
        yield {"reasoning_content": "let me think"}
    for i, name in enumerate(script.tools):
        head = {"index": i, "id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [head]}
        half = len(script.args) // 2
        for piece in (script.args[:half], script.args[half:]):
            yield {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}
    if not script.tools:
        for piece in script.fragments(text):
            yield {"content": piece}


def stream(script: Script, body: Any, text: str) -> Iterator[str]:
    """The ``data:`` payloads of a streamed answer."""
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    base: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body.get("model", "scripted"),
    }
    extra = {"usage": None} if with_usage else {}

    def chunk(index: int, delta: dict[str, Any], finish: str | None) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return json.dumps({**base, "choices": [choice], **extra})

    indexes = range(int(body.get("n") or 1))
    for delta in _deltas(script, text):
        for index in indexes:
            yield chunk(index, delta, None)
    if not script.false_done:
        for index in indexes:
            yield chunk(index, {}, _finish(script))
    if with_usage and not script.no_usage:
        for _ in range(2 if script.two_usages else 1):
            yield json.dumps({**base, "choices": [], "usage": usage(script, body, text)})
    yield DONE


def filler(body: Any, text: str) -> str:
    """One more fragment, for streams that never end."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "model": body.get("model"), "choices": [choice]})


def embeddings(body: Any) -> dict[str, Any]:
    """Vectors that depend on the text alone."""
    inputs = body.get("input", [])
    texts = [inputs] if isinstance(inputs, str) else inputs
    size = int(body.get("dimensions") or 8)
    data = []
    for index, text in enumerate(texts):
        digest = hashlib.sha256(str(text).encode()).digest()
        vector = [(digest[i % 32] - 128) / 128 for i in range(size)]
        base64 = body.get("encoding_format") == "base64"
        value = b64encode(struct.pack(f"<{size}f", *vector)).decode() if base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    count = sum(len(str(text).split()) for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": body.get("model", "scripted"),
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def models() -> dict[str, Any]:
    """The list of models."""
    return {
        "object": "list",
        "data": [{"id": "scripted", "object": "model", "created": CREATED, "owned_by": "greffier"}],
    }
