# ruff: noqa: D102, S101, PLR2004, FBT003 - a test is named after what it proves, pytest asserts, faults are a table
"""What every provider must do against a server that answers, fails and lies.

Subclass `ProviderContract` beside the provider's tests and give it an ``upstream`` fixture (a `ScriptedUpstream` that
speaks the provider's protocol, or stands behind something that does) and a ``make_provider`` fixture.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import pytest

from greffier.core.chat import ChatChunk, ChatRequest, FunctionSpec, Message, ToolSpec
from greffier.core.deployment import Deployment, Timeouts
from greffier.core.errors import Code
from greffier.llm.ports import Provider, ProviderError
from greffier.testing.upstream import Script, ScriptedUpstream

MakeProvider = Callable[[Deployment, int], Provider]
"""Builds a provider for a deployment, with a limit on bytes of an answer."""

BIG = 1_048_576
FAST = Timeouts(connect_s=2.0, first_token_s=0.5, total_s=1.0)
PATIENT = Timeouts(connect_s=5.0, first_token_s=20.0, total_s=30.0)


class Fault(NamedTuple):
    """What the server does, and what must come out."""

    script: Script
    code: Code
    retryable: bool
    blamed: bool


FAULTS: list[Fault] = [
    Fault(Script(status=400), Code.UPSTREAM_REJECTED, False, False),
    Fault(Script(status=400, code="context_length_exceeded"), Code.CONTEXT_LENGTH_EXCEEDED, False, False),
    Fault(Script(status=401), Code.UPSTREAM_AUTHENTICATION, True, True),
    Fault(Script(status=403), Code.UPSTREAM_AUTHENTICATION, True, True),
    Fault(Script(status=404), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(status=422), Code.UPSTREAM_REJECTED, False, False),
    Fault(Script(status=429), Code.UPSTREAM_RATE_LIMITED, True, True),
    Fault(Script(status=500), Code.UPSTREAM_UNAVAILABLE, True, True),
    Fault(Script(status=503), Code.UPSTREAM_UNAVAILABLE, True, True),
    Fault(Script(status=504), Code.UPSTREAM_TIMEOUT, True, True),
    Fault(Script(status=529), Code.UPSTREAM_UNAVAILABLE, True, True),
    Fault(Script(redirect=True), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(html=True), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(malformed=True), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(cut=True), Code.UPSTREAM_TRUNCATED, True, True),
    Fault(Script(hang=True), Code.UPSTREAM_TIMEOUT, True, True),
    Fault(Script(hang_mid=True), Code.UPSTREAM_TIMEOUT, True, True),
    Fault(Script(big_header=100), Code.UPSTREAM_TOO_LARGE, False, True),
]
PLAIN_FAULTS: list[Fault] = [
    Fault(Script(truncate=True), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(big=2), Code.UPSTREAM_TOO_LARGE, False, True),
    Fault(Script(big=100), Code.UPSTREAM_TOO_LARGE, False, True),
    Fault(Script(endless=True), Code.UPSTREAM_TOO_LARGE, False, True),
]
STREAM_FAULTS: list[Fault] = [
    Fault(Script(truncate=True), Code.UPSTREAM_TRUNCATED, True, True),
    Fault(Script(false_done=True), Code.UPSTREAM_TRUNCATED, True, True),
    Fault(Script(error_frame=True), Code.UPSTREAM_UNAVAILABLE, True, True),
    Fault(Script(binary=True), Code.UPSTREAM_MALFORMED, True, True),
    Fault(Script(big=100), Code.UPSTREAM_TOO_LARGE, False, True),
]


def named(faults: list[Fault]) -> list[object]:
    """Parameters with readable ids."""

    def name(script: Script) -> str:
        changed = (field for field in script.__struct_fields__ if getattr(script, field) != getattr(Script(), field))
        return ",".join(f"{field}={getattr(script, field)}" for field in changed)

    return [pytest.param(fault, id=name(fault.script)) for fault in faults]


def deployment(timeouts: Timeouts = PATIENT, max_output_tokens: int = 512) -> Deployment:
    """The deployment under test."""
    return Deployment(
        "under-test",
        "any",
        "upstream-model",
        "on_premises",
        "eu",
        ("internal",),
        timeouts=timeouts,
        max_output_tokens=max_output_tokens,
    )


def ask(text: str = "hello there", **changes: object) -> ChatRequest:
    """A request of one user message."""
    return ChatRequest(model="assistant", messages=(Message("user", text),), **changes)  # type: ignore[arg-type]


WEATHER = ToolSpec(
    FunctionSpec("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
)


async def collect(provider: Provider, request: ChatRequest) -> list[ChatChunk]:
    """All chunks of a stream."""
    return [chunk async for chunk in provider.stream(request)]


class ProviderContract:
    """The tests. They use the port and the scripted server only."""

    tools = True
    """Whether the provider can offer tools."""

    @pytest.fixture
    def make_provider(self) -> MakeProvider:
        """Overridden by the subclass."""
        raise NotImplementedError

    @pytest.fixture
    def provider(self, make_provider: MakeProvider) -> Provider:
        return make_provider(deployment(), BIG)

    @pytest.fixture
    def hasty(self, make_provider: MakeProvider) -> Provider:
        return make_provider(deployment(FAST), BIG)

    async def test_answers_with_usage(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(say="Grüße 🌍", cached=3))
        response = await provider.complete(ask())
        assert response.choices[0].message.content == "Grüße 🌍"
        assert response.choices[0].finish_reason == "stop"
        assert response.usage is not None
        assert response.usage.cached_tokens == 3
        assert response.usage.output_tokens == 2
        assert not response.usage.estimated
        assert response.model == "upstream-model"

    async def test_sends_the_deployments_model_and_token_limit(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        await provider.complete(ask(params={"temperature": 0.5}, end_user="alice@example.test"))
        body = upstream.requests[0].json
        assert body["model"] == "upstream-model"
        assert body["temperature"] == 0.5
        assert 512 in {body.get("max_tokens"), body.get("max_completion_tokens")}
        assert b"alice" not in upstream.requests[0].body

    async def test_streams_fragments_then_finish_then_usage_once(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        upstream.queue(Script(say="one two three", two_usages=True))
        chunks = await collect(provider, ask())
        assert "".join(chunk.text for chunk in chunks) == "one two three"
        assert len([chunk for chunk in chunks if chunk.text]) == 3
        assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
        assert [chunk.usage.output_tokens for chunk in chunks if chunk.usage] == [3]
        assert chunks[-1].usage is not None

    @pytest.mark.parametrize("odd", [Script(crlf=True), Script(thinking=True), Script(chunks=50, gap=1)], ids=str)
    async def test_reads_legal_but_odd_streams(
        self, upstream: ScriptedUpstream, provider: Provider, odd: Script
    ) -> None:
        upstream.queue(odd)
        chunks = await collect(provider, ask("say this"))
        assert "".join(chunk.text for chunk in chunks).strip() == odd.text("say this").strip()

    async def test_missing_usage_is_none_and_not_zero(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(no_usage=True), Script(no_usage=True))
        assert (await provider.complete(ask())).usage is None
        assert all(chunk.usage is None for chunk in await collect(provider, ask()))

    @pytest.mark.parametrize(("finish", "expected"), [("length", "length"), ("content_filter", "content_filter")])
    async def test_translates_finish_reasons(
        self, upstream: ScriptedUpstream, provider: Provider, finish: str, expected: str
    ) -> None:
        upstream.queue(Script(finish=finish), Script(finish=finish))
        assert (await provider.complete(ask())).choices[0].finish_reason == expected
        assert (await collect(provider, ask()))[-2].finish_reason == expected

    async def test_returns_parallel_tool_calls(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        if not self.tools:
            with pytest.raises(ProviderError) as caught:
                await provider.complete(ask(tools=(WEATHER,)))
            assert caught.value.code is Code.UNSUPPORTED_PARAMETER
            return
        upstream.queue(Script(tool="weather,clock"))
        choice = (await provider.complete(ask(tools=(WEATHER,)))).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert [call.function.name for call in choice.message.tool_calls or ()] == ["weather", "clock"]
        assert "weather" in str(upstream.requests[0].json["tools"])

    async def test_streams_tool_calls_with_name_and_id_once(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        if not self.tools:
            return
        upstream.queue(Script(tool="weather,clock"))
        chunks = await collect(provider, ask(tools=(WEATHER,)))
        fragments = [call for chunk in chunks for call in chunk.tool_calls]
        for index, name in enumerate(("weather", "clock")):
            mine = [call for call in fragments if call.index == index]
            assert [call.id is not None for call in mine] == [True] + [False] * (len(mine) - 1)
            assert "".join(call.function.name or "" for call in mine if call.function) == name
            text = "".join(call.function.arguments or "" for call in mine if call.function)
            assert text.replace(" ", "") == '{"city":"Paris"}'
        assert chunks[-2].finish_reason == "tool_calls"

    @pytest.mark.parametrize("fault", named(FAULTS + PLAIN_FAULTS))
    async def test_plain_faults(
        self,
        upstream: ScriptedUpstream,
        hasty: Provider,
        fault: Fault,
    ) -> None:
        upstream.queue(fault.script)
        with pytest.raises(ProviderError) as caught:
            await hasty.complete(ask("zebra crossing"))
        error = caught.value
        assert (error.code, error.retryable, error.counts_against_health) == fault[1:]
        assert "zebra" not in error.reason

    @pytest.mark.parametrize("fault", named(FAULTS + STREAM_FAULTS))
    async def test_stream_faults(
        self,
        upstream: ScriptedUpstream,
        hasty: Provider,
        fault: Fault,
    ) -> None:
        upstream.queue(fault.script)
        with pytest.raises(ProviderError) as caught:
            await collect(hasty, ask("zebra crossing"))
        error = caught.value
        assert (error.code, error.retryable, error.counts_against_health) == fault[1:]
        assert "zebra" not in error.reason

    async def test_endless_streams_are_bounded(self, upstream: ScriptedUpstream, hasty: Provider) -> None:
        upstream.queue(Script(endless=True))
        with pytest.raises(ProviderError) as caught:
            await collect(hasty, ask())
        assert caught.value.code in {Code.UPSTREAM_TOO_LARGE, Code.UPSTREAM_TIMEOUT}
        await upstream.until(lambda: upstream.requests[0].aborted)

    async def test_retry_after_is_passed_on(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(status=429, retry_after="7"), Script(status=503, retry_after="nonsense"))
        for expected in (7.0, None):
            with pytest.raises(ProviderError) as caught:
                await provider.complete(ask())
            assert caught.value.retry_after_s == expected
            assert caught.value.upstream_status in {429, 503}

    async def test_recovers_after_every_fault(self, upstream: ScriptedUpstream, hasty: Provider) -> None:
        for script, *_ in FAULTS:
            if script.hang or script.hang_mid:
                continue
            upstream.queue(script, Script(say="fine"))
            with pytest.raises(ProviderError):
                await hasty.complete(ask())
            assert (await hasty.complete(ask())).choices[0].message.content == "fine"

    async def test_closing_a_stream_closes_the_connection(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(chunks=1000, gap=5))
        chunks = provider.stream(ask())
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined] # providers' streams are async generators
        await upstream.until(lambda: upstream.requests[0].aborted)

    async def test_cancelling_a_call_closes_the_connection(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        upstream.queue(Script(hang=True), Script(chunks=1000, gap=5))
        for place, waiting in enumerate((provider.complete(ask()), collect(provider, ask()))):
            task = asyncio.ensure_future(waiting)
            await upstream.until(lambda place=place: len(upstream.requests) > place)  # type: ignore[misc]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.until(lambda place=place: upstream.requests[place].aborted)  # type: ignore[misc]

    async def test_many_calls_at_once_keep_their_answers_apart(self, provider: Provider) -> None:
        async def plain(number: int) -> None:
            response = await provider.complete(ask(f"plain {number} [[delay={number % 7}]]"))
            assert response.choices[0].message.content == f"plain {number}"

        async def streamed(number: int) -> None:
            chunks = await collect(provider, ask(f"streamed {number} [[gap=1]]"))
            assert "".join(chunk.text for chunk in chunks) == f"streamed {number}"

        await asyncio.gather(*(job(number) for number in range(60) for job in (plain, streamed)))

    async def test_connections_are_kept(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        for _ in range(5):
            await provider.complete(ask())
            await collect(provider, ask())
            await asyncio.sleep(0.01)  # the end of a stream arrives a moment after its last event
        assert upstream.connections_made <= 2

    async def test_a_kept_connection_that_the_server_closed_is_replaced(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        upstream.queue(Script(close=True))
        await provider.complete(ask())
        assert (await provider.complete(ask("again"))).choices[0].message.content == "again"

    async def test_closing_lets_calls_under_way_finish(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(delay=100, say="late"))
        task = asyncio.ensure_future(provider.complete(ask()))
        await upstream.until(lambda: len(upstream.requests) == 1)
        await provider.close()
        assert (await task).choices[0].message.content == "late"
