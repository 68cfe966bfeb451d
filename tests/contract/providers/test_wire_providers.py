"""Every provider that speaks to a server, against the scripted one."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from greffier.adapters.providers.build import build_provider
from greffier.core.chat import EmbeddingRequest
from greffier.core.deployment import Deployment
from greffier.core.errors import Code
from greffier.llm.ports import Provider, ProviderError
from greffier.llm.settings import DeploymentSettings
from greffier.testing.contracts.provider import (
    FAST,
    FAULTS,
    STREAM_FAULTS,
    MakeProvider,
    ProviderContract,
    ask,
    collect,
    deployment,
)
from greffier.testing.upstream import Script, ScriptedUpstream

KEY = "upstream-key-0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(api_key=KEY) as server:
        yield server


class FromSettings:
    """Builds the provider as the platform does: from what the workspace says."""

    provider_name = ""
    extra: dict[str, str] = {}

    def base_url(self, upstream: ScriptedUpstream) -> str:
        return upstream.base_url

    @pytest.fixture
    async def make_provider(
        self, upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[MakeProvider]:
        monkeypatch.setenv("UPSTREAM_KEY", KEY)
        built: list[Provider] = []

        def make(deployment: Deployment, max_answer_bytes: int) -> Provider:
            settings = msgspec.convert(
                {
                    "provider": self.provider_name,
                    "model": deployment.model,
                    "location": "on_premises",
                    "region": "eu",
                    "base_url": self.base_url(upstream),
                    "secret": "env:UPSTREAM_KEY",
                    "max_answer_bytes": max_answer_bytes,
                    **self.extra,
                },
                DeploymentSettings,
            )
            built.append(build_provider("under-test", settings, deployment, tmp_path, tmp_path / "run"))
            return built[-1]

        yield make
        for provider in built:
            await provider.close()


class TestOpenAICompatible(FromSettings, ProviderContract):
    provider_name = "openai_compatible"

    async def test_asks_for_usage_in_every_stream(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        await collect(provider, ask())
        sent = upstream.requests[0]
        assert sent.json["stream_options"] == {"include_usage": True}
        assert sent.json["max_tokens"] == 512
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert "cookie" not in sent.headers

    async def test_several_answers_at_once(self, provider: Provider) -> None:
        response = await provider.complete(ask("a b", params={"n": 3}))
        assert [choice.index for choice in response.choices] == [0, 1, 2]
        chunks = await collect(provider, ask("a b", params={"n": 3}))
        for index in range(3):
            assert "".join(chunk.text for chunk in chunks if chunk.index == index) == "a b"
        assert sum(chunk.finish_reason is not None for chunk in chunks) == 3

    async def test_verbatim_parameters_never_override_ours(
        self, upstream: ScriptedUpstream, provider: Provider
    ) -> None:
        params = {"model": "evil", "stream": True, "user": "alice", "messages": [], "seed": 7, "max_tokens": 10**9}
        await provider.complete(ask(params=params))
        sent = upstream.requests[0].json
        assert sent["model"] == "upstream-model"
        assert sent["seed"] == 7
        assert "stream" not in sent
        assert "user" not in sent
        assert sent["max_tokens"] == 512

    @pytest.mark.parametrize("encoding", ["float", "base64"])
    async def test_embeds(self, provider: Provider, encoding: str) -> None:
        request = msgspec.convert(
            {"model": "m", "inputs": ["a", "b", "a"], "encoding_format": encoding, "dimensions": 4}, EmbeddingRequest
        )
        vectors = (await provider.embed(request)).vectors
        assert len(vectors) == 3
        assert vectors[0] == vectors[2] != vectors[1]
        assert isinstance(vectors[0], str if encoding == "base64" else list)

    async def test_embedding_faults(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        upstream.queue(Script(status=503), Script(html=True), Script(malformed=True))
        for code in (Code.UPSTREAM_UNAVAILABLE, Code.UPSTREAM_MALFORMED, Code.UPSTREAM_MALFORMED):
            with pytest.raises(ProviderError) as caught:
                await provider.embed(EmbeddingRequest("m", ("a",)))
            assert caught.value.code is code


class TestOpenAI(FromSettings, ProviderContract):
    provider_name = "openai"

    async def test_uses_the_newer_token_field(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        await provider.complete(ask(max_tokens=9))
        assert upstream.requests[0].json["max_completion_tokens"] == 9
        assert "max_tokens" not in upstream.requests[0].json


class TestAzureOpenAI(FromSettings, ProviderContract):
    provider_name = "azure_openai"
    extra = {"api_version": "2024-10-21"}

    def base_url(self, upstream: ScriptedUpstream) -> str:
        return upstream.origin

    async def test_speaks_azures_paths_and_key_header(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        await provider.complete(ask())
        await provider.embed(EmbeddingRequest("m", ("a",)))
        chat, embeddings = upstream.requests
        assert chat.path == "/openai/deployments/upstream-model/chat/completions?api-version=2024-10-21"
        assert embeddings.path == "/openai/deployments/upstream-model/embeddings?api-version=2024-10-21"
        assert chat.headers["api-key"] == KEY
        assert "authorization" not in chat.headers


class TestAzureOpenAIVersion1(FromSettings):
    provider_name = "azure_openai"

    def base_url(self, upstream: ScriptedUpstream) -> str:
        return upstream.origin + "/openai/v1"

    async def test_speaks_the_undated_paths(self, upstream: ScriptedUpstream, make_provider: MakeProvider) -> None:
        await make_provider(deployment(), 1000).complete(ask())
        assert upstream.requests[0].path == "/openai/v1/chat/completions"


class TestAnthropic(FromSettings, ProviderContract):
    provider_name = "anthropic"

    def base_url(self, upstream: ScriptedUpstream) -> str:
        return upstream.origin

    async def test_sends_key_and_version(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        await provider.complete(ask())
        sent = upstream.requests[0]
        assert sent.path == "/v1/messages"
        assert sent.headers["x-api-key"] == KEY
        assert sent.headers["anthropic-version"] == "2023-06-01"

    async def test_gives_json_through_a_tool(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        upstream.queue(Script(tool="json_answer"), Script(tool="json_answer"))
        choice = (await provider.complete(ask(response_format=form))).choices[0]
        assert choice.message.content == '{"city":"Paris"}'
        assert choice.message.tool_calls is None
        assert choice.finish_reason == "stop"
        chunks = await collect(provider, ask(response_format=form))
        assert "".join(chunk.text for chunk in chunks) == '{"city": "Paris"}'
        assert not any(chunk.tool_calls for chunk in chunks)
        assert chunks[-2].finish_reason == "stop"
        assert upstream.requests[0].json["tool_choice"] == {"type": "tool", "name": "json_answer"}

    async def test_refuses_what_it_cannot_express(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        for request in (ask(params={"n": 2}), ask(params={"logit_bias": {"1": 5}}), ask(params={"logprobs": True})):
            with pytest.raises(ProviderError) as caught:
                await provider.complete(request)
            assert caught.value.code is Code.UNSUPPORTED_PARAMETER
            assert not caught.value.retryable
            assert not caught.value.counts_against_health
        with pytest.raises(ProviderError):
            await provider.embed(EmbeddingRequest("m", ("a",)))
        assert upstream.requests == []


def test_the_loop_that_serves_in_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", KEY)

    async def everything() -> None:
        async with ScriptedUpstream(api_key=KEY) as upstream:
            settings = DeploymentSettings(
                provider="openai_compatible",
                model="m",
                location="on_premises",
                region="eu",
                base_url=upstream.base_url,
                secret="env:UPSTREAM_KEY",
            )
            provider = build_provider("under-test", settings, deployment(FAST), tmp_path, tmp_path)
            for _ in range(2):
                assert (await provider.complete(ask("hi"))).choices[0].message.content == "hi"
                assert "".join(chunk.text for chunk in await collect(provider, ask("a b c"))) == "a b c"
            for fault in (*FAULTS, *STREAM_FAULTS):
                upstream.queue(fault.script)
                with pytest.raises(ProviderError) as caught:
                    await collect(provider, ask())
                assert caught.value.code is fault.code
            await provider.close()

    uvloop.run(everything())
