"""The embedded model: the contract against a scripted engine, and the real engine where its weights are here."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from greffier.adapters.providers.build import build_provider
from greffier.adapters.providers.local.engine import publish
from greffier.adapters.providers.local.provider import Local
from greffier.adapters.providers.local.supervisor import EngineAddress, EngineOptions, EngineSupervisor
from greffier.adapters.providers.local.weights import CATALOGUE, DEFAULT_MODEL, models_dir, pulled_path
from greffier.core.chat import EmbeddingRequest, ImagePart, ImageUrl, Message
from greffier.core.deployment import Deployment, Timeouts
from greffier.core.errors import Code
from greffier.llm.ports import Provider, ProviderError
from greffier.llm.settings import DeploymentSettings
from greffier.testing.contracts.provider import MakeProvider, ProviderContract, ask, collect, deployment
from greffier.testing.upstream import Script, ScriptedUpstream

OPTIONS = EngineOptions(Path("m.gguf"), "m")
KEY = "engine-key-0123456789"
WEIGHTS = pulled_path(CATALOGUE[DEFAULT_MODEL], models_dir())
needs_weights = pytest.mark.usefixtures("weights")


@pytest.fixture(scope="session")
def weights() -> None:
    assert WEIGHTS.is_file(), "the weights are not here: run make dev"


class TestLocalAgainstAScriptedEngine(ProviderContract):
    """Another worker tends the engine (the test holds its lock), and the engine is the scripted upstream."""

    tools = False

    @pytest.fixture
    async def upstream(self) -> AsyncIterator[ScriptedUpstream]:
        async with ScriptedUpstream(api_key=KEY) as server:
            yield server

    @pytest.fixture
    def port_file(self, tmp_path: Path) -> Iterator[Path]:
        supervisor = EngineSupervisor("under-test", OPTIONS, tmp_path)
        with supervisor.lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield supervisor.port_file

    @pytest.fixture
    async def make_provider(self, upstream: ScriptedUpstream, port_file: Path) -> AsyncIterator[MakeProvider]:
        publish(port_file, upstream.origin, KEY)
        built: list[Provider] = []

        def make(described: Deployment, max_answer_bytes: int) -> Provider:
            supervisor = EngineSupervisor("under-test", OPTIONS, port_file.parent)
            built.append(Local(described, supervisor, max_answer_bytes))
            return built[-1]

        yield make
        for provider in built:
            await provider.close()

    async def test_follows_the_engine_to_a_new_address(
        self, upstream: ScriptedUpstream, provider: Provider, port_file: Path
    ) -> None:
        await provider.complete(ask())
        await upstream.stop()
        async with ScriptedUpstream(api_key=KEY) as moved:
            publish(port_file, moved.origin, KEY)
            moved.queue(Script(say="moved"), Script(say="moved"))
            assert (await provider.complete(ask())).choices[0].message.content == "moved"
            assert "".join(chunk.text for chunk in await collect(provider, ask())) == "moved"

    async def test_refuses_media_and_embeddings(self, upstream: ScriptedUpstream, provider: Provider) -> None:
        picture = Message("user", (ImagePart(ImageUrl("https://example.test/a.png")),))
        with pytest.raises(ProviderError) as caught:
            await provider.complete(msgspec.structs.replace(ask(), messages=(picture,)))
        assert caught.value.code is Code.UNSUPPORTED_PARAMETER
        with pytest.raises(ProviderError):
            await provider.embed(EmbeddingRequest("m", ("a",)))
        assert upstream.requests == []


def local(tmp_path: Path) -> Provider:
    settings = DeploymentSettings(
        provider="local", model=DEFAULT_MODEL, location="on_premises", region="local", context_tokens=512
    )
    described = deployment(Timeouts(2, 30, 60), max_output_tokens=24)
    return build_provider("real", settings, described, tmp_path, tmp_path / "run")


def engine_pid(tmp_path: Path) -> int:
    [port_file] = (tmp_path / "run").glob("engine-real-*.json")
    pid: int = msgspec.json.decode(port_file.read_bytes())["pid"]
    return pid


def is_running(pid: int) -> bool:
    """Whether the process does anything still; a zombie whom nobody reaps does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_running(pid):  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.05)


GERMANY = ask("What is the capital of Germany?", params={"temperature": 0})


@needs_weights
@pytest.mark.slow
async def test_the_real_engine_answers_and_is_shared_restarted_and_stopped(tmp_path: Path) -> None:
    providers = [local(tmp_path), local(tmp_path)]
    try:
        for provider in providers:
            response = await provider.complete(GERMANY)
            assert "Berlin" in str(response.choices[0].message.content)
            assert response.usage is not None
            assert response.usage.cached_tokens == 0
        assert "Berlin" in "".join(chunk.text for chunk in await collect(providers[1], GERMANY))
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        answer = await providers[0].complete(msgspec.structs.replace(GERMANY, response_format=form))
        assert set(msgspec.json.decode(str(answer.choices[0].message.content))) == {"city"}
        with pytest.raises(ProviderError) as caught:
            await providers[0].complete(ask("word " * 2000))
        assert caught.value.code is Code.CONTEXT_LENGTH_EXCEEDED
        killed = engine_pid(tmp_path)
        os.kill(killed, signal.SIGKILL)
        await gone(killed)
        assert "Berlin" in str((await providers[1].complete(GERMANY)).choices[0].message.content)
        assert engine_pid(tmp_path) != killed
    finally:
        await providers[0].close()
    assert "Berlin" in str((await providers[1].complete(GERMANY)).choices[0].message.content)  # taken over
    last = engine_pid(tmp_path)
    await providers[1].close()
    await gone(last)
    assert not list((tmp_path / "run").glob("*.json"))


@needs_weights
@pytest.mark.slow
async def test_the_engine_dies_with_a_killed_worker(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from greffier.adapters.providers.local.supervisor import EngineOptions, EngineSupervisor\n"
        "async def main():\n"
        "    supervisor = EngineSupervisor('real', EngineOptions(Path(sys.argv[1]), 'm', 256, 1), Path(sys.argv[2]))\n"
        "    address = await supervisor.ready(30)\n"
        "    print(address.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(WEIGHTS), str(tmp_path / "run"), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    try:
        pid = int(await worker.stdout.readline())
    finally:
        worker.kill()
        await worker.wait()
    await gone(pid)


def test_another_model_is_another_engine(tmp_path: Path) -> None:
    other = EngineSupervisor("d", msgspec.structs.replace(OPTIONS, model=Path("other.gguf")), tmp_path)
    assert EngineSupervisor("d", OPTIONS, tmp_path).lock_file != other.lock_file
    assert EngineSupervisor("d", OPTIONS, tmp_path).lock_file == EngineSupervisor("d", OPTIONS, tmp_path).lock_file


def test_the_address_and_its_key_are_private(tmp_path: Path) -> None:
    publish(tmp_path / "engine.json", "http://127.0.0.1:1", "key")
    assert (tmp_path / "engine.json").stat().st_mode & 0o777 == 0o600
    found = msgspec.json.decode((tmp_path / "engine.json").read_bytes(), type=EngineAddress)
    assert "key" not in repr(found)
    assert [file.name for file in tmp_path.iterdir()] == ["engine.json"]


@pytest.mark.slow
async def test_weights_that_cannot_be_loaded_fail_quickly_and_clearly(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    supervisor = EngineSupervisor("broken", EngineOptions(broken, "m"), tmp_path / "run")
    provider = Local(deployment(Timeouts(2, 60, 60)), supervisor, 1000)
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await asyncio.wait_for(provider.complete(GERMANY), 30)
        assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        assert "not running" in caught.value.reason
    await provider.close()
