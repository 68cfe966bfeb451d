"""``greffier doctor`` finds what would stop a start, and what cannot be reached, before anyone's request does."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.adapters.signers.key_file import create_key_file
from greffier.app.processes import http_url
from greffier.cli.main import app
from greffier.config.packs import sign_pack
from greffier.config.signing import public_pem
from greffier.testing.certificates import Certificates
from greffier.testing.platform import Platform
from greffier.testing.ports import free_port
from greffier.testing.redis_server import RedisServer
from greffier.testing.workspaces import File, small_workspace, write_workspace

SETTINGS = """
schema: 1
name: doctored
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
"""
MODELS = """
deployments:
  home:
    provider: openai_compatible
    model: m
    location: on_premises
    region: eu
    price: {{input_per_million: "0", output_per_million: "0"}}
    {more}
models:
  assistant: {{targets: [{{deployment: home}}]}}
"""


def workspace(folder: Path, deployment: str, settings: str = "") -> Path:
    """A workspace with more lines in its only deployment, and in ``greffier.yaml``."""
    own: dict[str, File] = {
        "greffier.yaml": SETTINGS + settings,
        "models/models.yaml": MODELS.format(more=deployment),
    }
    return write_workspace(folder, small_workspace() | own)


def install_an_old_pack(folder: Path) -> None:
    packs = folder / "guardrails" / "packs"
    packs.mkdir(parents=True)
    signer = create_key_file(folder.parent / f"{folder.name}-maker.pem")
    pinned = {"signature_packs": {"feed": {"key": public_pem(signer.public_key_der()).decode()}}}
    (folder / "guardrails" / "packs.yaml").write_text(json.dumps(pinned))
    pack = {"format": "greffier.signature-pack/1", "name": "feed", "version": 1, "issued": "2026-10-01"}
    data = json.dumps({**pack, "expires": "2026-11-02", "signatures": [{"id": "a", "expression": "aaa"}]}).encode()
    (packs / "feed.json").write_bytes(data)
    (packs / "feed.sig").write_bytes(sign_pack(data, signer))


def told(folder: Path, *options: str) -> dict[str, Any]:
    """Everything that is not well, by what it is about."""
    done = CliRunner().invoke(app, ["doctor", "--workspace", str(folder), "--json", *options])
    findings = json.loads(done.stdout)
    assert (done.exit_code != 0) is any(finding["state"] == "wrong" for finding in findings)
    return {finding["what"]: finding for finding in findings if finding["state"] == "wrong"}


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        ('base_url: "http://127.0.0.1:9/v1", secret: env:GREFFIER_TEST_UNSET'.replace(", ", "\n    "), "is not set"),
        ('base_url: "https://127.0.0.1:9/v1"\n    tls: {ca_file: certs/missing.pem}', "certs/missing.pem"),
        ('base_url: "http://127.0.0.1:9/v1"\n    proxy: "https://proxy.example:3128"', "must start with http://"),
    ],
)
def test_what_would_stop_the_start_is_found_without_any_network(tmp_path: Path, deployment: str, said: str) -> None:
    wrong = told(workspace(tmp_path, deployment), "--offline")
    assert list(wrong) == ["deployment home"]
    assert said in wrong["deployment home"]["detail"]
    assert wrong["deployment home"]["remedy"]


@pytest.mark.parametrize(
    ("address", "said", "remedy"),
    [
        ("http://127.0.0.1:{port}/v1", "refused the connection", "firewall"),
        ("https://name.invalid/v1", "cannot be resolved", "name service"),
    ],
)
def test_a_server_out_of_reach_is_named_with_the_reason(tmp_path: Path, address: str, said: str, remedy: str) -> None:
    wrong = told(workspace(tmp_path, f'base_url: "{address.format(port=free_port())}"'))
    assert list(wrong) == ["server of home"]
    assert said in wrong["server of home"]["detail"]
    assert remedy in wrong["server of home"]["remedy"]


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Certificates]]:
    """A server whose certificate only a private authority vouches for."""
    (tmp_path / "made").mkdir()
    certificates = Certificates(tmp_path / "made")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], certificates
        listener.shutdown(socket.SHUT_RDWR)


def test_a_certificate_that_nobody_vouches_for_is_told_apart_from_a_server_that_is_down(
    tmp_path: Path, tls_server: tuple[int, Certificates]
) -> None:
    port, certificates = tls_server
    address = f'base_url: "https://127.0.0.1:{port}/v1"'
    wrong = told(workspace(tmp_path / "a", address))
    assert "ca_file" in wrong["server of home"]["remedy"]
    trusting = workspace(tmp_path / "b", f"{address}\n    tls: {{ca_file: ca.pem}}")
    (trusting / "ca.pem").write_bytes(certificates.ca.read_bytes())
    assert told(trusting) == {}


def test_limits_and_issuers_are_tried_too(tmp_path: Path) -> None:
    issuer = f"https://127.0.0.1:{free_port()}/realm"
    use = "{claim: a, equals: b, use_case: assistant}"
    settings = f"    issuers: [{{issuer: '{issuer}', audience: a, use_cases: [{use}]}}]\n"
    limits = "limits: {{shared: {{url: '{url}'}}}}\n"
    base = SETTINGS.replace("{title: Acme}", "\n    title: Acme")
    with_redis = RedisServer()
    with_redis.start()
    try:
        folder = workspace(tmp_path, f'base_url: "http://127.0.0.1:{with_redis.port}/v1"')
        (folder / "greffier.yaml").write_text(base + settings + limits.format(url=with_redis.url))
        assert list(told(folder)) == [f"issuer {issuer}"]
    finally:
        with_redis.kill()
    wrong = told(folder)
    assert list(wrong) == ["server of home", "shared limits", f"issuer {issuer}"]
    assert str(with_redis.port) not in wrong["shared limits"]["detail"]


def test_what_the_running_gateway_says_of_itself_is_told(tmp_path: Path) -> None:
    folder = workspace(tmp_path, f'base_url: "http://127.0.0.1:{free_port()}/v1"')
    install_an_old_pack(folder)
    with Platform(folder) as platform:
        key = platform.create_key("acme", "assistant")
        for _ in range(5):
            assert platform.chat(key, "hello").status in {502, 503}
        done = CliRunner().invoke(app, ["doctor", "--workspace", str(folder), "--offline"])
        assert f"gateway: running at http://127.0.0.1:{platform.port}" in done.stdout
        assert "unsafe development mode" in done.stdout
        assert "rests after failures" in done.stdout
        assert done.stdout.count("expired on 2026-11-02") == 2  # in the workspace, and in what runs
        scraped = platform.request("GET", "/metrics").body.decode()
        assert 'greffier_signature_pack_expires_timestamp_seconds{pack="feed"} 1.793664e+09' in scraped
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = platform.command("serve", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 4
    assert "Address already in use\n" in refused.stderr
    assert "choose another --host or --port" in refused.stderr


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("::", "http://[::]:80")]
)
def test_addresses_can_be_read_back(host: str, url: str) -> None:
    assert http_url(host, 80) == url


@pytest.mark.parametrize(
    "command", [("keys", "list"), ("keys", "create", "--tenant", "acme", "--use-case", "assistant")]
)
def test_a_state_folder_that_cannot_be_used_is_no_stack_trace(tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = workspace(tmp_path, 'base_url: "http://127.0.0.1:9/v1"')
    (folder / ".greffier").mkdir()
    (folder / ".greffier" / "run").write_text("in the way")
    done = CliRunner().invoke(app, [*command, "--workspace", str(folder), "--json"])
    assert done.exit_code == 4
    told = json.loads(done.stdout)["error"]
    assert ".greffier/run: File exists" in told["message"]
    assert told["remedy"]
