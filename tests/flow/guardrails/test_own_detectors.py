"""A workspace brings its own detector: from a line of YAML to a refused request."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from greffier.testing.platform import Platform

DETECTORS = """
screens:
  held:
    detectors: [identifiers, gossip]
    input:
      - {id: no-gossip, types: [gossip], then: deny}
detectors:
  gossip: {kind: http, types: [gossip], url: "http://127.0.0.1:%d/check", timeout_ms: 2000}
"""


class _Gossip(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = [{"type": "gossip", "start": 0, "end": 4, "score": 0.9}]
        results = [{"findings": found if p["text"].startswith("psst") else []} for p in asked["passages"]]
        data = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def gossip() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gossip)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_detector_of_the_workspace_rules_with_the_others(
    make: Callable[[int, str], Platform], gossip: ThreadingHTTPServer
) -> None:
    platform = make(0, DETECTORS % gossip.server_port)
    key = platform.create_key("acme", "assistant")
    assert platform.chat(key, "hello").status == 200
    refused = platform.chat(key, "psst, have you heard")
    assert (refused.status, refused.code) == (400, "guardrail_blocked")
    lines = platform.records(refused.headers["x-request-id"])[0]["guardrails"]
    assert [(line["detector"], line["action"]) for line in lines] == [("gossip", "deny")]
    gossip.shutdown()
    gossip.server_close()
    unmeasured = platform.chat(key, "hello again")
    assert (unmeasured.status, unmeasured.code) == (503, "guardrail_unavailable")
