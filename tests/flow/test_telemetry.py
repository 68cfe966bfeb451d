"""Traces leave over real OTLP/HTTP, in the GenAI conventions' words, and never with content."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from greffier.testing.peers import Peers
from greffier.testing.platform import Platform


class Collector(BaseHTTPRequestHandler):
    """What an OpenTelemetry collector receives."""

    spans: list[Span]
    raw: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                type(self).spans.extend(scope.spans)
        type(self).raw.append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        pass


@pytest.fixture
def collector() -> Iterator[tuple[type[Collector], str]]:
    class Fresh(Collector):
        spans: list[Span] = []
        raw: list[bytes] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Fresh, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_request_becomes_a_trace_without_content(collector: Any, peers: Peers, workspace: Path) -> None:
    received, endpoint = collector
    settings = workspace / "greffier.yaml"
    settings.write_text(settings.read_text() + "telemetry: {otlp_endpoint: env:OTLP, sample_percent: 100}\n")
    environment = {"EXTERNAL_URL": peers.external.base_url, "ONPREM_URL": peers.onprem.base_url, "OTLP": endpoint}
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with Platform(workspace, environment) as platform:
        key = platform.create_key("acme", "assistant")
        body = {
            "model": "assistant",
            "messages": [{"role": "user", "content": "the zebra-canary [[say=zebra-answer]]"}],
        }
        headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
        answer = platform.request("POST", "/v1/chat/completions", body, key=key, headers=headers)
        assert answer.status == 200
    deadline = time.monotonic() + 10
    while not received.spans and time.monotonic() < deadline:
        time.sleep(0.1)
    names = {span.name for span in received.spans}
    assert "chat assistant" in names
    assert {"identity:authenticate", "policy:authorize", "guardrails:screen_input", "llm:call"} <= names
    root = next(span for span in received.spans if span.name == "chat assistant")
    assert root.trace_id.hex() == trace_id
    attributes = {item.key: item.value for item in root.attributes}
    assert attributes["gen_ai.operation.name"].string_value == "chat"
    assert attributes["gen_ai.usage.output_tokens"].int_value > 0
    assert attributes["greffier.request_id"].string_value == answer.headers["x-request-id"]
    assert not any(b"zebra" in body for body in received.raw)
