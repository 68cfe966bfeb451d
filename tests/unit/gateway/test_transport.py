"""Bodies within bounds, callers that leave, stall or come too many, and answers that always have a dialect."""

import asyncio
import gzip
from typing import Any

import pytest
from msgspec.json import encode

from greffier.core.chat import ChatChunk
from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused
from greffier.gateway.app import GatewayApp
from greffier.gateway.exchange import Bounds
from greffier.gateway.ports import Pipelines
from greffier.pipeline.answers import ChatStream
from greffier.testing.asgi import Caller, Reply, ask
from greffier.testing.pipelines import KEY, ScriptedChat, ScriptedHealth, scripted_pipelines

CHAT = "/v1/chat/completions"
AUTH = (("authorization", f"Bearer {KEY}"),)


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def code_of(reply: Reply) -> str:
    code = reply.json()["error"]["code"]
    assert isinstance(code, str)
    return code


def bounded(bounds: Bounds, chat: ScriptedChat | None = None) -> GatewayApp:
    return GatewayApp(scripted_pipelines(chat), ScriptedHealth(), bounds=bounds)


async def test_every_answer_carries_a_request_id_and_ours_is_not_the_callers(app: GatewayApp) -> None:
    mine = (*AUTH, ("x-request-id", "mine"))
    ids = set()
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/healthz"), ("GET", "/nope"), ("PUT", CHAT)):
        reply = await ask(app, method, path, say("hi") if method == "POST" else b"", mine)
        ids.add(reply.headers["x-request-id"])
    assert len(ids) == 5
    assert all(request_id.startswith("req_") for request_id in ids)


async def test_a_strangers_body_is_never_decoded(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, b"not json at all")
    assert (reply.status, code_of(reply)) == (401, "missing_credentials")
    reply = await ask(app, "POST", CHAT, b"not json at all", (("authorization", "Bearer wrong"),))
    assert (reply.status, code_of(reply)) == (401, "invalid_api_key")
    reply = await ask(app, "POST", CHAT, b"not json at all", AUTH)
    assert (reply.status, code_of(reply)) == (400, "invalid_json")


async def test_a_key_is_taken_from_either_header(app: GatewayApp) -> None:
    for headers in (AUTH, (("x-api-key", KEY),), (("authorization", f"bearer   {KEY} "),)):
        assert (await ask(app, "POST", CHAT, say("hi"), headers)).status == 200
    for headers in ((("authorization", f"Basic {KEY}"),), (("authorization", "Bearer "),), (("x-api-key", "é"),)):
        assert (await ask(app, "POST", CHAT, say("hi"), headers)).status == 401


async def test_ambiguous_headers_are_refused(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi"), (*AUTH, ("authorization", "Bearer other")))
    assert (reply.status, reply.json()["error"]["param"]) == (400, "authorization")
    reply = await ask(app, "POST", CHAT, say("hi"), [("a", "b")] * 200)
    assert reply.status == 400
    reply = await ask(app, "POST", CHAT, say("hi"), [*AUTH, *((f"x-{number}", "b") for number in range(200))])
    assert reply.status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/x", 405, "method_not_allowed"),
        ("POST", "/v1/nothing", 404, "route_not_found"),
        ("GET", "/v1/models/unknown", 404, "model_not_found"),
    ],
)
async def test_wrong_paths_and_methods_speak_openai(
    app: GatewayApp, method: str, path: str, status: int, code: str
) -> None:
    reply = await ask(app, method, path, headers=AUTH)
    assert (reply.status, code_of(reply)) == (status, code)
    assert ("allow" in reply.headers) == (status == 405)


async def test_wrong_paths_speak_the_callers_dialect(app: GatewayApp) -> None:
    anthropic = (*AUTH, ("anthropic-version", "2026-10-21"))
    reply = await ask(app, "GET", "/v1/nothing", headers=anthropic)
    assert reply.json()["error"]["type"] == "not_found_error"
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    for path in ("/", "/admin"):
        reply = await ask(app, "GET", path)
        assert reply.headers["content-type"] == "application/problem+json"
    reply = await ask(app, "POST", "/healthz")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("/chat/completions", CHAT),  # OpenAI's SDK with a base URL that lacks /v1
        ("/v1/chat/completions/", CHAT),
        ("//v1/chat/completions", CHAT),
        ("/v1/chat/completions/chat/completions", CHAT),  # with the whole path as base URL
        ("/openai/deployments/gpt/chat/completions", CHAT),  # Azure's SDK
        ("/v1/v1/messages", "/v1/messages"),  # Anthropic's SDK with a base URL that ends in /v1
        ("/models", "/v1/models"),
    ],
)
async def test_a_mistaken_base_url_is_told_the_path_in_the_dialect_of_its_sdk(
    app: GatewayApp, asked: str, wanted: str
) -> None:
    error = (await ask(app, "POST", asked, say("hi"), AUTH)).json()["error"]
    assert f"The path is {wanted}: set the SDK's base URL to" in error["message"]
    assert error["type"] == ("not_found_error" if wanted == "/v1/messages" else "invalid_request_error")


async def test_another_api_is_no_mistaken_base_url(app: GatewayApp) -> None:
    reply = await ask(app, "POST", "/v1/threads/thread_1/messages", say("hi"), AUTH)
    assert (reply.status, code_of(reply)) == (404, "route_not_found")
    assert "The path is" not in reply.json()["error"]["message"]
    reply = await ask(app, "POST", "/v1/messages/batches", say("hi"), AUTH)
    assert reply.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("POST", "/v1/conversations"),
    ],
)
async def test_whoever_looks_for_a_kept_answer_is_told_that_none_is_kept(
    app: GatewayApp, method: str, path: str
) -> None:
    reply = await ask(app, method, path, {} if method == "POST" else None, AUTH)
    assert (reply.status, code_of(reply)) == (404, "route_not_found")
    assert "keeps no answers" in reply.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models"])
async def test_head_is_answered_as_get(app: GatewayApp, path: str) -> None:
    assert (await ask(app, "HEAD", path, headers=AUTH)).status == 200


async def test_other_media_types_are_refused(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi"), (*AUTH, ("content-type", "text/plain")))
    assert (reply.status, code_of(reply)) == (415, "unsupported_media_type")
    for media_type in ("application/json", "Application/JSON; charset=utf-8"):
        assert (await ask(app, "POST", CHAT, say("hi"), (*AUTH, ("content-type", media_type)))).status == 200


async def test_a_compressed_body_is_refused_as_such(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, gzip.compress(b"{}"), (*AUTH, ("content-encoding", "gzip")))
    assert (reply.status, code_of(reply)) == (415, "unsupported_media_type")
    assert reply.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" in reply.json()["error"]["message"]
    assert (await ask(app, "POST", CHAT, say("hi"), (*AUTH, ("content-encoding", "identity")))).status == 200


@pytest.mark.parametrize("credential", [(), (("authorization", "Bearer wrong"),)])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_stranger_cannot_fill_the_memory_with_a_body(
    credential: tuple[tuple[str, str], ...], declared: bool
) -> None:
    app = bounded(Bounds(strangers_body_bytes=1000))
    headers = (*credential, *((("content-length", "40000"),) if declared else ()))
    caller = Caller(app, "POST", CHAT, headers=headers, parts=[b"x" * 400] * 100)
    reply = await caller.run()
    assert (reply.status, reply.headers["connection"]) == (401, "close")
    assert caller.unsent_when_answered == (100 if declared else 97)
    assert caller.unsent == 0  # discarded, so that the caller sees the answer


async def test_who_waits_to_be_let_in_is_refused_before_sending(app: GatewayApp) -> None:
    caller = Caller(
        app, "POST", CHAT, headers=(("expect", "100-continue"), ("content-length", "9")), parts=[b"{", None]
    )
    assert (await caller.run()).status == 401


async def test_a_known_sender_may_send_a_large_body() -> None:
    app = bounded(Bounds(strangers_body_bytes=1000))
    body = encode(say("x" * 5000))
    for headers in (AUTH, (*AUTH, ("content-length", str(len(body))))):
        reply = await Caller(app, "POST", CHAT, headers=headers, parts=[body[:2000], body[2000:]]).run()
        assert reply.json()["choices"][0]["message"]["content"] == "x" * 5000


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    app = bounded(Bounds(max_body_bytes=1000, linger_s=0.01))
    declared = await ask(app, "POST", CHAT, b"", (*AUTH, ("content-length", "1001")))
    absurd = await ask(app, "POST", CHAT, b"", (*AUTH, ("content-length", "9" * 400)))
    whole = await ask(app, "POST", CHAT, b"x" * 1001, AUTH)
    pieces = await Caller(app, "POST", CHAT, headers=AUTH, parts=[b"x" * 400] * 3).run()
    for reply in (declared, absurd, whole, pieces):
        assert (reply.status, code_of(reply)) == (413, "request_too_large")
        assert reply.headers["connection"] == "close"


async def test_a_refused_body_is_read_to_its_end_so_that_the_caller_sees_the_answer() -> None:
    app = bounded(Bounds(max_body_bytes=1000))
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[b"x" * 400] * 50)
    reply = await caller.run()
    assert (reply.status, reply.complete, code_of(reply)) == (413, True, "request_too_large")
    assert caller.unsent == 0


async def test_a_body_in_pieces_is_put_together(app: GatewayApp) -> None:
    parts = [b'{"messages":[{"role":"user",', b'"content":"pieces"}]}']
    reply = await Caller(app, "POST", CHAT, headers=AUTH, parts=parts).run()
    assert reply.json()["choices"][0]["message"]["content"] == "pieces"


async def test_a_body_that_never_ends_is_given_up() -> None:
    app = bounded(Bounds(body_timeout_s=0.02, linger_s=0.01))
    reply = await Caller(app, "POST", CHAT, headers=AUTH, parts=[b"{", None]).run()
    assert (reply.status, code_of(reply)) == (408, "request_timeout")
    assert reply.headers["connection"] == "close"
    assert app.in_flight == 0


async def test_hanging_up_while_sending_is_no_error(app: GatewayApp) -> None:
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[b"{", None])
    caller.hang_up()
    assert (await caller.run()).status == 0
    assert app.in_flight == 0


async def test_hanging_up_cancels_a_plain_request(app: GatewayApp, chat: ScriptedChat) -> None:
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang"))])
    caller.hang_up()
    reply = await asyncio.wait_for(caller.run(), 5)
    assert (reply.status, chat.abandoned) == (0, 1)


async def test_hanging_up_closes_a_stream(app: GatewayApp, chat: ScriptedChat) -> None:
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang", stream=True))])
    running = asyncio.create_task(caller.run())
    await caller.wrote.wait()
    caller.hang_up()
    reply = await asyncio.wait_for(running, 5)
    assert (reply.status, reply.complete, chat.abandoned) == (200, False, 1)


async def test_cancellation_by_the_server_is_not_swallowed(app: GatewayApp, chat: ScriptedChat) -> None:
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang"))])
    running = asyncio.create_task(caller.run())
    await chat.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (chat.abandoned, app.in_flight) == (1, 0)


async def test_silence_in_a_stream_is_filled_with_comments() -> None:
    app = bounded(Bounds(ping_interval_s=0.01))
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang", stream=True))])
    running = asyncio.create_task(caller.run())
    while b": ping\n\n" not in caller.reply.frames:
        caller.wrote.clear()
        await asyncio.wait_for(caller.wrote.wait(), 5)
    caller.hang_up()
    await running
    assert caller.reply.frames.count(b": ping\n\n") >= 1


async def test_a_reader_that_stalls_is_given_up() -> None:
    chat = ScriptedChat()
    app = bounded(Bounds(ping_interval_s=0.01, stall_timeout_s=0.03), chat)
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang", stream=True))])
    running = asyncio.create_task(caller.run())
    await caller.wrote.wait()
    caller.stop_reading()
    await asyncio.wait_for(running, 5)
    assert (caller.reply.complete, chat.abandoned, app.in_flight) == (False, 1, 0)


async def test_a_full_worker_refuses_and_says_when_to_return(chat: ScriptedChat) -> None:
    app = bounded(Bounds(max_concurrent_requests=1), chat)
    first = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang"))])
    running = asyncio.create_task(first.run())
    await chat.asked.wait()
    second = await ask(app, "POST", CHAT, say("hi"), AUTH)
    assert (second.status, code_of(second)) == (503, "overloaded")
    assert second.headers["retry-after"] == "1"
    assert (await ask(app, "GET", "/healthz")).status == 200
    first.hang_up()
    await running
    assert (await ask(app, "POST", CHAT, say("hi"), AUTH)).status == 200


async def test_draining_finishes_what_runs_and_refuses_the_rest(app: GatewayApp, chat: ScriptedChat) -> None:
    first = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang"))])
    running = asyncio.create_task(first.run())
    await chat.asked.wait()
    app.drain()
    refused = await ask(app, "POST", CHAT, say("hi"), AUTH)
    assert (refused.status, code_of(refused), refused.headers["connection"]) == (503, "draining", "close")
    assert not await app.drained(0.01)
    first.hang_up()
    await running
    assert await app.drained(1)


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_time_to_drain_is_over_callers_are_told(
    app: GatewayApp, chat: ScriptedChat, stream: bool
) -> None:
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang", stream=stream))])
    running = asyncio.create_task(caller.run())
    await (caller.wrote if stream else chat.asked).wait()
    app.drain()
    app.give_up()
    reply = await asyncio.wait_for(running, 5)
    assert (reply.status, reply.complete) == (200 if stream else 503, True)
    assert b'"code":"draining"' in reply.body
    assert b"[DONE]" not in reply.body
    assert (chat.abandoned, app.in_flight) == (1, 0)


async def test_a_fault_is_reported_and_told_without_its_message(chat: ScriptedChat) -> None:
    faults: list[tuple[str, BaseException]] = []
    app = GatewayApp(
        scripted_pipelines(chat),
        ScriptedHealth(),
        on_fault=lambda request_id, error: faults.append((request_id, error)),
    )
    reply = await ask(app, "POST", CHAT, say("!fault"), AUTH)
    assert (reply.status, code_of(reply), reply.headers["x-should-retry"]) == (500, "internal_error", "false")
    assert b"!fault" not in reply.body
    assert [(request_id, type(error)) for request_id, error in faults] == [
        (reply.headers["x-request-id"], ZeroDivisionError)
    ]


async def test_a_fault_in_the_middle_of_a_stream_ends_it_with_an_error_frame() -> None:
    app = _streaming_app(ZeroDivisionError("secret text"))
    reply = await ask(app, "POST", CHAT, say("x", stream=True), AUTH)
    name, data = reply.events()[-1]
    assert (name, data["error"]["code"], reply.complete) == ("", "internal_error", True)
    assert b"secret text" not in reply.body


async def test_a_refusal_before_the_first_fragment_is_a_real_http_error() -> None:
    refused = Refused(Deny(Code.OUTPUT_BLOCKED, "r", "x"), (("x-greffier-rule", "r"),))
    app = _streaming_app(refused, first=False)
    reply = await ask(app, "POST", CHAT, say("x", stream=True), AUTH)
    assert (reply.status, code_of(reply)) == (400, "output_blocked")
    assert reply.headers["x-greffier-rule"] == "r"


async def test_an_empty_stream_is_a_truncated_one() -> None:
    app = _streaming_app(None, first=False)
    reply = await ask(app, "POST", CHAT, say("x", stream=True), AUTH)
    assert (reply.status, code_of(reply)) == (502, "upstream_truncated")


async def test_header_values_cannot_break_out_of_their_line() -> None:
    refused = Refused(Deny(Code.POLICY_DENIED, "r", "x"), (("x-greffier-route", "a\r\nset-cookie: b=ü"),))
    app = _streaming_app(refused, first=False)
    reply = await ask(app, "POST", CHAT, say("x", stream=True), AUTH)
    assert reply.headers["x-greffier-route"] == "a??set-cookie: b=?"


async def test_each_answer_is_counted(chat: ScriptedChat) -> None:
    seen: list[tuple[str, int]] = []
    app = GatewayApp(
        scripted_pipelines(chat),
        ScriptedHealth(),
        on_answer=lambda route, status, _seconds: seen.append((route, status)),
    )
    await ask(app, "POST", CHAT, say("hi"), AUTH)
    await ask(app, "GET", "/x/" + "y" * 100)
    caller = Caller(app, "POST", CHAT, headers=AUTH, parts=[encode(say("!hang"))])
    caller.hang_up()
    await caller.run()
    assert seen == [(CHAT, 200), ("unmatched", 404), (CHAT, 499)]


async def test_what_is_kept_of_the_callers_headers_is_valid_and_bounded(app: GatewayApp) -> None:
    from_caller = {
        "x-request-id": "trace-1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x-stainless-retry-count": "2",
    }
    arrivals = await _arrivals(from_caller)
    assert (arrivals.correlation_id, arrivals.retry_count) == ("trace-1", 2)
    assert arrivals.traceparent == from_caller["traceparent"]
    broken = {
        "x-request-id": "x" * 129,
        "traceparent": "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "x-stainless-retry-count": "-1",
    }
    arrivals = await _arrivals(broken)
    assert (arrivals.correlation_id, arrivals.traceparent, arrivals.retry_count) == ("", "", 0)


async def test_probes_are_answered_from_memory() -> None:
    health = ScriptedHealth()
    app = GatewayApp(scripted_pipelines(), health)
    assert (await ask(app, "GET", "/readyz")).status == 200
    health.well = False
    assert (await ask(app, "GET", "/readyz")).status == 503
    assert (await ask(app, "GET", "/healthz")).json()["status"] == "alive"
    assert (await ask(app, "GET", "/metrics")).body == b"up 1\n"


class _Recorder(ScriptedChat):
    arrival: Any

    async def run(self, arrival: Any, decode: Any) -> Any:
        self.arrival = arrival
        return await super().run(arrival, decode)


async def _arrivals(headers: dict[str, str]) -> Any:
    chat = _Recorder()
    app = GatewayApp(scripted_pipelines(chat), ScriptedHealth())
    await ask(app, "POST", CHAT, say("hi"), (*AUTH, *headers.items()))
    return chat.arrival


class _Breaking(ScriptedChat):
    def __init__(self, error: BaseException | None, *, first: bool) -> None:
        super().__init__()
        self._error = error
        self._first = first

    async def run(self, arrival: Any, decode: Any) -> Any:
        self.open(arrival, decode)
        return ChatStream(self._chunks())

    async def _chunks(self) -> Any:
        if self._first:
            yield ChatChunk(text="a")
        if self._error is not None:
            raise self._error


def _streaming_app(error: BaseException | None, *, first: bool = True) -> GatewayApp:
    pipelines: Pipelines = scripted_pipelines(_Breaking(error, first=first))
    return GatewayApp(pipelines, ScriptedHealth(), on_fault=lambda _request_id, _error: None)
