"""The reverse proxy of the deployment guide, word for word, before a running gateway."""

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.testing.certificates import Certificates
from greffier.testing.peers import Peers
from greffier.testing.platform import Platform, eventually
from greffier.testing.ports import free_port

GUIDE = (Path(__file__).parents[2] / "docs/guide/deployment.md").read_text()
Proxy = tuple[int, ssl.SSLContext]


@pytest.fixture(scope="module")
def proxy(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx with the guide's configuration; only addresses and paths of this test stand in it instead."""
    folder = tmp_path_factory.mktemp("nginx")
    certificates = Certificates(folder)
    port = free_port()
    (block,) = re.findall(r"```nginx\n(.*?)```", GUIDE, re.DOTALL)
    for written, here in {
        "127.0.0.1:8080": f"127.0.0.1:{platform.port}",
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/greffier/tls/gateway.pem": str(certificates.certificate("server")),
        "/etc/greffier/tls/gateway.key": str(certificates.key("server")),
    }.items():
        assert block.count(written) == 1
        block = block.replace(written, here)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{block}\n}}\n"
    )
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    assert binary, "nginx is not installed: scripts/peers installs it"
    server = subprocess.Popen([binary, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=subprocess.DEVNULL)
    context = ssl.create_default_context(cafile=str(certificates.ca))
    try:
        eventually(lambda: server.poll() is None and _answers(port, context))
        yield port, context
    finally:
        server.terminate()
        server.wait(20)


def _answers(port: int, context: ssl.SSLContext) -> bool:
    try:
        _, response = ask((port, context), "")
    except OSError:
        return False
    return response.status == http.client.UNAUTHORIZED


def ask(proxy: Proxy, key: str, **more: object) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    port, context = proxy
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    body = {"model": "assistant", "messages": [{"role": "user", "content": "[[say=hi]] hello"}], **more}
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection, connection.getresponse()


def test_answers_refusals_and_large_prompts_pass_unchanged(proxy: Proxy, key: str, peers: Peers) -> None:
    connection, response = ask(proxy, key)
    assert json.loads(response.read())["choices"][0]["message"]["content"] == "hi"
    assert response.headers["x-request-id"].startswith("req_")
    connection.close()
    large = [{"role": "user", "content": "[[say=hi]]" + " word" * 300_000}]  # more than nginx takes by default
    connection, response = ask(proxy, key, messages=large)
    assert response.status == http.client.OK, response.read()
    connection.close()
    connection, response = ask(proxy, "grf_wrong")
    assert (response.status, json.loads(response.read())["error"]["code"]) == (401, "invalid_api_key")
    connection.close()


def test_fragments_are_passed_on_at_once_and_hanging_up_is_seen(
    proxy: Proxy, platform: Platform, key: str, peers: Peers
) -> None:
    peers.clear()
    messages = [{"role": "user", "content": f"[[hang_mid]] [[chunks=400]] [[say={'word ' * 2000}]]"}]
    connection, response = ask(proxy, key, messages=messages, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    line = b""
    while b'"content":"word' not in line:  # the model has fallen silent: a buffer would still be waiting for more
        line = response.readline()
        assert line, "the stream ended without a fragment"
    response.close()
    connection.close()
    (asked,) = peers.external.requests
    eventually(lambda: asked.aborted)
    request_id = response.headers["x-request-id"]
    eventually(lambda: len(platform.records(request_id)) == 2)
    assert platform.records(request_id)[1]["outcome"] == "cancelled"


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/"])
def test_only_the_callers_part_is_open(proxy: Proxy, path: str) -> None:
    port, context = proxy
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    connection.request("GET", path)
    assert connection.getresponse().status == http.client.NOT_FOUND
    connection.close()
