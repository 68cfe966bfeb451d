"""A workspace brings its own detector: from a line of YAML to a refused request."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from greffier.guardrails.ports import Passage
from greffier.testing.guard_service import RunningGuardService, client_of
from greffier.testing.onnx_model import write_classifier
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


LAWYER = """
screens:
  held:
    detectors: [identifiers, lawyer]
    input:
      - {id: no-threats, types: [legal_threat], at_least: 0.8, then: deny}
detectors:
  lawyer:
    kind: onnx
    types: [legal_threat]
    timeout_ms: 20000
    onnx:
      labels: ["", legal_threat]
      model: {path: "%(folder)s/model.onnx", sha256: %(model)s}
      tokenizer: {path: "%(folder)s/tokenizer.json", sha256: %(tokenizer)s}
"""
THREAT = "I will start a lawsuit tomorrow"


def lawyer(folder: Path) -> str:
    given = write_classifier(folder, {"lawsuit": 6.0})
    return LAWYER % {"folder": folder, "model": given["model"]["sha256"], "tokenizer": given["tokenizer"]["sha256"]}


def test_a_model_file_of_the_workspace_rules_in_the_gateway(
    make: Callable[[int, str], Platform], tmp_path: Path
) -> None:
    platform = make(0, lawyer(tmp_path))
    key = platform.create_key("acme", "assistant")
    assert platform.chat(key, "hello").status == 200
    refused = platform.chat(key, THREAT)
    assert (refused.status, refused.code) == (400, "guardrail_blocked")
    (line,) = platform.records(refused.headers["x-request-id"])[0]["guardrails"]
    assert (line["detector"], line["type"], line["action"]) == ("lawyer", "legal_threat", "deny")


def guards_of(tmp_path: Path) -> Path:
    workspace = tmp_path / "guards"
    (workspace / "guardrails").mkdir(parents=True)
    (workspace / "greffier.yaml").write_text(
        "schema: 1\nname: guards\nunsafe_development_mode: true\ntenants:\n  acme: {title: Acme}\n"
    )
    (workspace / "guardrails" / "s.yaml").write_text(lawyer(tmp_path))
    return workspace


async def test_a_model_file_of_the_workspace_measures_in_the_service(tmp_path: Path) -> None:
    with RunningGuardService(guards_of(tmp_path)) as running:
        client = client_of(running.socket)
        clean, threat = await client.measure_all("held", [Passage("hello"), Passage(THREAT)], scores=True)
        await client.close()
    assert clean.findings == ()
    assert [(f.type, f.start, f.end) for f in threat.findings] == [("legal_threat", 0, len(THREAT))]
    assert threat.scores["legal_threat"] > 0.9


def test_a_model_file_of_the_workspace_is_tried_at_the_command_line(tmp_path: Path) -> None:
    workspace = guards_of(tmp_path)
    command = [sys.executable, "-m", "greffier.cli.main", "guard", "check", "--screen", "held", THREAT]
    checked = subprocess.run([*command, "--workspace", str(workspace)], capture_output=True, text=True, check=False)
    assert checked.returncode == 1, checked.stderr
    assert "no-threats" in checked.stdout
    (tmp_path / "model.onnx").write_bytes(b"something else")
    refused = subprocess.run([*command, "--workspace", str(workspace)], capture_output=True, text=True, check=False)
    assert refused.returncode not in {0, 1}
    assert "not the one that the workspace pins" in " ".join(refused.stderr.split())
