"""The OpenAI Python SDK against a running gateway; both generations run this file unchanged."""

import os
from typing import Any

import openai
from cases import BASE, FORBIDDEN, INJECTION, KEYS, LONG, MODEL, WEATHER, body_of, case, kinds_of, main

calls: list[str] = []


def client(key: str = "assistant", **more: Any) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: calls.append(str(request.url))]})
    return openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEYS.get(key, key), http_client=http, **more)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def refusal(act: Any) -> dict[str, Any]:
    """What the SDK raises, and how many requests it made on the way."""
    calls.clear()
    try:
        act()
    except openai.APIError as error:
        body = body_of(error)
        return {
            "kinds": kinds_of(error),
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "param": error.param,
            "type": error.type,
            "message": body.get("message", ""),
            "request_id": getattr(error, "request_id", None),
            "calls": len(calls),
        }
    return {"kinds": [], "calls": len(calls)}


def ask(text: str, key: str = "assistant", retries: int = 2, **more: Any) -> Any:
    model = more.pop("model", MODEL)
    return client(key, max_retries=retries).chat.completions.create(model=model, messages=user(text), **more)


def drain(stream: Any) -> dict[str, Any]:
    """Read a chat stream to its end, however it ends."""
    texts: list[str] = []
    finish = None
    usages = []
    try:
        for chunk in stream:
            if chunk.usage:
                usages.append(chunk.usage.total_tokens)
            for choice in chunk.choices:
                texts.append(choice.delta.content or "")
                finish = choice.finish_reason or finish
    except openai.APIError as error:
        return {"text": "".join(texts), "raised": type(error).__name__, "code": error.code}
    return {"text": "".join(texts), "finish": finish, "usages": usages}


TOOLS = [{"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("weather", "time")]


@case
def chat_plain() -> dict[str, Any]:
    answer = ask("[[say=Good morning]]")
    choice = answer.choices[0]
    return {
        "text": choice.message.content,
        "role": choice.message.role,
        "finish": choice.finish_reason,
        "model": answer.model,
        "usage": answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0,
        "request_id": answer._request_id,
    }


@case
def chat_stream() -> dict[str, Any]:
    return drain(ask("[[say=one two three]]", stream=True))


@case
def chat_stream_usage() -> dict[str, Any]:
    return drain(ask("[[say=one two three]]", stream=True, stream_options={"include_usage": True}))


@case
def chat_raw_headers() -> dict[str, Any]:
    raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=user("hi"))
    return {name: raw.headers.get(name) for name in ("x-request-id", "content-type")}


@case
def chat_tools() -> dict[str, Any]:
    answer = ask("[[tool=weather,time]]", tools=TOOLS)
    message = answer.choices[0].message
    again = client().chat.completions.create(
        model=MODEL,
        tools=TOOLS,
        messages=[
            *user("[[say=done]]"),
            message,
            *({"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls),
        ],
    )
    return {
        "finish": answer.choices[0].finish_reason,
        "names": [call.function.name for call in message.tool_calls],
        "arguments": message.tool_calls[0].function.arguments,
        "again": again.choices[0].message.content,
    }


@case
def chat_tools_stream() -> dict[str, Any]:
    with client().chat.completions.stream(model=MODEL, messages=user("[[tool=weather,time]]"), tools=TOOLS) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    called = final.choices[0].message.tool_calls
    return {
        "finish": final.choices[0].finish_reason,
        "names": [call.function.name for call in called],
        "arguments": [call.function.arguments for call in called],
    }


@case
def chat_large_prompt() -> dict[str, Any]:
    answer = ask(LONG * 26_000 + "[[say=read]]")
    return {"text": answer.choices[0].message.content, "prompt_tokens": answer.usage.prompt_tokens > 100_000}


@case
def legacy_plain() -> dict[str, Any]:
    answer = client().completions.create(model=MODEL, prompt="[[say=Good morning]]", max_tokens=20)
    return {"text": answer.choices[0].text, "object": answer.object}


@case
def legacy_stream() -> dict[str, Any]:
    stream = client().completions.create(model=MODEL, prompt="[[say=one two]]", stream=True)
    return {"text": "".join(chunk.choices[0].text for chunk in stream if chunk.choices)}


@case
def responses_plain() -> dict[str, Any]:
    answer = client().responses.create(model=MODEL, input="[[say=Good morning]]", instructions="Be brief.")
    return {"text": answer.output_text, "status": answer.status, "usage": answer.usage.total_tokens > 0}


@case
def responses_stream() -> dict[str, Any]:
    with client().responses.stream(model=MODEL, input="[[say=one two]]") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    return {"text": final.output_text, "first": kinds[0], "last": kinds[-1], "usage": final.usage.total_tokens > 0}


@case
def responses_tools() -> dict[str, Any]:
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    first = client().responses.create(model=MODEL, input="[[tool=weather]]", tools=tools)
    call = first.output[0]
    again = client().responses.create(
        model=MODEL,
        tools=tools,
        input=[
            *user("[[say=done]]"),
            *first.output,
            {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
        ],
    )
    with client().responses.stream(model=MODEL, input="[[tool=weather]]", tools=tools) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_response().output[0]
    return {
        "type": call.type,
        "name": call.name,
        "arguments": call.arguments,
        "again": again.output_text,
        "streamed": [streamed.name, streamed.arguments],
    }


@case
def embeddings() -> dict[str, Any]:
    answer = client().embeddings.create(model="vectors", input=["one", "two"])
    floats = client().embeddings.create(model="vectors", input="one", encoding_format="float")
    same = answer.data[0].embedding == floats.data[0].embedding or all(
        abs(a - b) < 1e-6 for a, b in zip(answer.data[0].embedding, floats.data[0].embedding, strict=True)
    )
    return {"vectors": len(answer.data), "same": same, "usage": answer.usage.prompt_tokens > 0}


@case
def models() -> dict[str, Any]:
    listed = [model.id for model in client().models.list()]
    return {"listed": listed, "one": client().models.retrieve(MODEL).id}


@case
def moderations() -> dict[str, Any]:
    answer = client().moderations.create(input=["a nice day", INJECTION])
    return {"flagged": [result.flagged for result in answer.results]}


@case
def unknown_parameter() -> dict[str, Any]:
    return refusal(lambda: ask("hi", extra_body={"wibble": 1}))


@case
def bad_value() -> dict[str, Any]:
    return refusal(lambda: ask("hi", temperature=9))


@case
def wrong_key() -> dict[str, Any]:
    return refusal(lambda: ask("hi", "grf_wrong"))


@case
def unapproved_use_case() -> dict[str, Any]:
    return refusal(lambda: ask("hi", "draft"))


@case
def unknown_model() -> dict[str, Any]:
    return refusal(lambda: ask("hi", model="gpt-unknown"))


@case
def unknown_path() -> dict[str, Any]:
    return refusal(client().files.list)


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
def guardrail_responses() -> dict[str, Any]:
    return refusal(lambda: client().responses.create(model=MODEL, input=INJECTION, stream=True))


@case
def output_blocked() -> dict[str, Any]:
    return refusal(lambda: ask(f"[[say={FORBIDDEN}]]"))


@case
def output_blocked_in_the_first_window() -> dict[str, Any]:
    return drain(ask(f"[[say={FORBIDDEN}]]", stream=True))


@case
def output_blocked_in_mid_stream() -> dict[str, Any]:
    return drain(ask(f"[[say={LONG * 40}{FORBIDDEN}]]", stream=True))


@case
def output_blocked_in_mid_stream_of_responses() -> dict[str, Any]:
    last = ""
    try:
        for event in client().responses.create(model=MODEL, input=f"[[say={LONG * 40}{FORBIDDEN}]]", stream=True):
            last = event.type
    except openai.APIError as error:
        return {"raised": type(error).__name__, "code": error.code, "before": last}
    return {"last": last}


@case
def upstream_down() -> dict[str, Any]:
    return refusal(lambda: ask("[[status=503]]"))


@case
def upstream_down_stream() -> dict[str, Any]:
    return refusal(lambda: ask("[[status=503]]", retries=0, stream=True))


@case
def upstream_silent() -> dict[str, Any]:
    return refusal(lambda: ask("[[hang]]", retries=0))


@case
def upstream_refuses() -> dict[str, Any]:
    return refusal(lambda: ask("[[status=400]]"))


@case
def upstream_limits_us() -> dict[str, Any]:
    return refusal(lambda: ask("[[status=429]]", retries=0))


@case
def upstream_cut() -> dict[str, Any]:
    return drain(ask(f"[[say={LONG * 40}]] [[cut]]", stream=True))


@case
def upstream_false_done() -> dict[str, Any]:
    return drain(ask(f"[[say={LONG * 40}]] [[false_done]]", stream=True))


@case
def recovery_within_retries() -> dict[str, Any]:
    calls.clear()
    answer = ask(f"[[statuses=503,200]] [[say=recovered]] {os.getpid()}")  # the model counts repetitions of a message
    return {"text": answer.choices[0].message.content, "calls": len(calls)}


@case
def hanging_up() -> dict[str, Any]:
    stream = ask(f"[[say={LONG * 40}]] [[hang_mid]]", stream=True)
    first = next(iter(stream))
    request_id = stream.response.headers["x-request-id"]
    stream.close()
    return {"text": bool(first.choices), "request_id": request_id}


if __name__ == "__main__":
    main()
