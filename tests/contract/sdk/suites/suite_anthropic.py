"""The Anthropic Python SDK against a running gateway; both generations run this file unchanged."""

from typing import Any

import anthropic
from cases import BASE, FORBIDDEN, INJECTION, KEYS, LONG, MODEL, WEATHER, body_of, case, kinds_of, main

calls: list[str] = []


def client(key: str = "assistant", **more: Any) -> anthropic.Anthropic:
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [lambda request: calls.append(str(request.url))]})
    return anthropic.Anthropic(base_url=BASE, api_key=KEYS.get(key, key), http_client=http, **more)


def ask(text: str, key: str = "assistant", retries: int = 2, **more: Any) -> Any:
    arguments = {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **more}
    return client(key, max_retries=retries).messages.create(**arguments)


def refusal(act: Any) -> dict[str, Any]:
    calls.clear()
    try:
        act()
    except anthropic.APIStatusError as error:
        body = body_of(error)
        return {
            "kinds": kinds_of(error),
            "status": error.status_code,
            "type": body.get("type"),
            "code": (body.get("details") or {}).get("error_code"),
            "message": body.get("message", ""),
            "request_id": error.request_id,
            "calls": len(calls),
        }
    return {"kinds": [], "calls": len(calls)}


def drain(text: str, **more: Any) -> dict[str, Any]:
    """Read a stream through the helper, however it ends."""
    texts: list[str] = []
    arguments = {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **more}
    try:
        with client().messages.stream(**arguments) as stream:
            for piece in stream.text_stream:
                texts.append(piece)  # noqa: PERF402 - what came before an exception counts too
            final = stream.get_final_message()
    except anthropic.APIStatusError as error:
        body = body_of(error)
        return {
            "text": "".join(texts),
            "raised": type(error).__name__,
            "status": error.status_code,
            "code": (body.get("details") or {}).get("error_code"),
        }
    return {
        "text": "".join(texts),
        "stop_reason": final.stop_reason,
        "output_tokens": final.usage.output_tokens > 0,
        "blocks": [block.model_dump(include={"type", "name", "input"}) for block in final.content],
    }


TOOLS = [{"name": name, "input_schema": WEATHER} for name in ("weather", "time")]


@case
def plain() -> dict[str, Any]:
    answer = ask("[[say=Good morning]]", system="Be brief.")
    return {
        "text": answer.content[0].text,
        "stop_reason": answer.stop_reason,
        "model": answer.model,
        "usage": answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0,
        "request_id": answer._request_id,
    }


@case
def stream() -> dict[str, Any]:
    return drain("[[say=one two three]]")


@case
def stream_events() -> dict[str, Any]:
    return {"kinds": [event.type for event in ask("[[say=one]]", stream=True)]}


@case
def tools() -> dict[str, Any]:
    first = ask("[[tool=weather,time]]", tools=TOOLS)
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"} for block in first.content]
    again = ask(
        "",
        tools=TOOLS,
        messages=[
            {"role": "user", "content": "which weather?"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [*results, {"type": "text", "text": "[[say=done]]"}]},
        ],
    )
    return {
        "stop_reason": first.stop_reason,
        "names": [block.name for block in first.content],
        "input": first.content[0].input,
        "again": again.content[0].text,
    }


@case
def tools_stream() -> dict[str, Any]:
    return drain("[[tool=weather,time]]", tools=TOOLS)


@case
def count_tokens() -> dict[str, Any]:
    counted = client().messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "a few words"}])
    return {"counted": counted.input_tokens > 0}


@case
def models() -> dict[str, Any]:
    return {"listed": [model.id for model in client().models.list()], "one": client().models.retrieve(MODEL).id}


@case
def large_prompt() -> dict[str, Any]:
    return {"text": ask(LONG * 26_000 + "[[say=read]]").content[0].text}


@case
def unknown_parameter() -> dict[str, Any]:
    return refusal(lambda: ask("hi", extra_body={"wibble": 1}))


@case
def wrong_key() -> dict[str, Any]:
    return refusal(lambda: ask("hi", "grf_wrong"))


@case
def unapproved_use_case() -> dict[str, Any]:
    return refusal(lambda: ask("hi", "draft"))


@case
def unknown_model() -> dict[str, Any]:
    return refusal(lambda: ask("hi", model="claude-unknown"))


@case
def too_large() -> dict[str, Any]:
    return refusal(lambda: ask("x" * 5_000_000))


@case
def rate_limited() -> dict[str, Any]:
    refusal(lambda: ask("hi", "limited", 0))  # whether it is let through depends on who asked within this minute
    return refusal(lambda: ask("hi", "limited", 0))


@case
def over_budget() -> dict[str, Any]:
    return refusal(lambda: ask("hi", "broke"))


@case
def guardrail() -> dict[str, Any]:
    return refusal(lambda: ask(INJECTION))


@case
def guardrail_stream() -> dict[str, Any]:
    return refusal(lambda: ask(INJECTION, stream=True))


@case
def output_blocked() -> dict[str, Any]:
    return refusal(lambda: ask(f"[[say={FORBIDDEN}]]"))


@case
def output_blocked_in_mid_stream() -> dict[str, Any]:
    return drain(f"[[say={LONG * 40}{FORBIDDEN}]]")


@case
def upstream_down() -> dict[str, Any]:
    return refusal(lambda: ask("[[status=503]]"))


@case
def upstream_silent() -> dict[str, Any]:
    return refusal(lambda: ask("[[hang]]", retries=0))


@case
def upstream_cut() -> dict[str, Any]:
    return drain(f"[[say={LONG * 40}]] [[cut]]")


@case
def hanging_up() -> dict[str, Any]:
    opened = ask(f"[[say={LONG * 40}]] [[hang_mid]]", stream=True)
    for event in opened:
        if event.type == "content_block_delta":
            break
    request_id = opened.response.headers["request-id"]
    opened.close()
    return {"request_id": request_id}


if __name__ == "__main__":
    main()
