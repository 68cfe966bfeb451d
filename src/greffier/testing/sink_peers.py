"""Real receivers for sinks: rsyslog, NATS, librdkafka's mock cluster, and an HTTPS collector of three shapes."""

import asyncio
import contextlib
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from greffier.testing.certificates import Certificates
from greffier.testing.ports import free_port

_START_S = 10.0
_RSYSLOG = """
global(workDirectory="{folder}" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}" maxMessageSize="64k"
  parser.escapeControlCharactersOnReceive="off")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name"
  PermittedPeer=["client.test"])
template(name="j" type="list"){{ property(name="jsonmesg") constant(value="\\n") }}
ruleset(name="r"){{ action(type="omfile" file="{folder}/out.json" template="j") }}
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="r")
"""


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def _binary(name: str) -> str:
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise RuntimeError(f"{name} is not installed; scripts/peers does it")
    return found


class Rsyslog:
    """rsyslogd with mutual TLS; takes clients whose certificate says ``client.test``."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.certificates = certificates
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        config = self.folder / "rsyslog.conf"
        config.write_text(
            _RSYSLOG.format(
                folder=self.folder,
                ca=self.certificates.ca,
                certificate=self.certificates.certificate("server"),
                key=self.certificates.key("server"),
                port=self.port,
            )
        )
        command = [_binary("rsyslogd"), "-n", "-f", str(config), "-i", str(self.folder / "pid")]
        with (self.folder / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait_for(self.port, self._process)

    def stop(self) -> None:
        """Stop in order: what it took is written."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)
            self._process = None

    def messages(self) -> list[dict[str, Any]]:
        """What it has written, parsed by itself: ``rawmsg``, ``msg``, ``structured-data``, ``pri``..."""
        out = self.folder / "out.json"
        return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


class NatsServer:
    """nats-server with JetStream and a token, over TLS when certificates are given."""

    def __init__(self, folder: Path, certificates: Certificates | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.token = "nats-token-of-the-test"  # noqa: S105 - made up
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        command = [_binary("nats-server"), "-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port)]
        command += ["--auth", self.token]
        if self._certificates is not None:
            command += ["--tls", "--tlscert", str(self._certificates.certificate("server"))]
            command += ["--tlskey", str(self._certificates.key("server"))]
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait_for(self.port, self._process)

    def stop(self) -> None:
        """Stop; streams stay on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)
            self._process = None


class Collector:
    """An HTTPS server that answers like Splunk's HEC, Elasticsearch's bulk API or an OTLP collector.

    Attributes:
        events: What it acknowledged, in order of arrival: the text of each event.
        poison: A text that makes an event unacceptable for good.
        busy: Answer this status to everything, while set.
        acknowledge: Whether HEC hands out acknowledgement ids; ``indexed`` says when it confirms them.
    """

    def __init__(self, certificates: Certificates, secret: str) -> None:
        self.events: list[str] = []
        self.ids: list[str] = []
        self.poison = ""
        self.busy = 0
        self.acknowledge = False
        self.indexed = True
        self.port = free_port()
        self._secret = secret
        self._certificates = certificates
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/", self._root)
        app.router.add_get("/services/collector/health", self._root)
        app.router.add_post("/services/collector/event", self._hec)
        app.router.add_post("/services/collector/ack", self._hec_ack)
        app.router.add_post("/_bulk", self._elastic)
        app.router.add_post("/v1/logs", self._otlp)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificates.certificate("server"), self._certificates.key("server"))
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _refusal(self, request: web.Request, scheme: str) -> web.Response | None:
        if request.headers.get("authorization") != f"{scheme} {self._secret}":
            return web.json_response({"text": "Invalid token", "code": 4}, status=403)
        if self.busy:
            return web.json_response({"text": "Server is busy", "code": 9, "error": "busy"}, status=self.busy)
        return None

    async def _root(self, request: web.Request) -> web.Response:
        return self._refusal(request, request.headers.get("authorization", " ").split()[0]) or web.json_response({})

    async def _hec(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, "Splunk"):
            return refusal
        for number, line in enumerate((await request.text()).split("\n")):
            event = json.loads(line)
            text = event["event"] if isinstance(event["event"], str) else json.dumps(event["event"], ensure_ascii=False)
            if self.poison and self.poison in text:
                told = {"text": "Invalid data format", "code": 6, "invalid-event-number": number}
                return web.json_response(told, status=400)
            self.events.append(text)
            self.ids.append(event["fields"]["event_id"])
        answer = {"text": "Success", "code": 0}
        return web.json_response(answer | {"ackId": len(self.events)} if self.acknowledge else answer)

    async def _hec_ack(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, "Splunk"):
            return refusal
        asked = (await request.json())["acks"]
        return web.json_response({"acks": {str(number): self.indexed for number in asked}})

    async def _elastic(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, "ApiKey"):
            return refusal
        lines = (await request.text()).splitlines()
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            identifier = json.loads(action)["create"]["_id"]
            json.loads(document)
            if self.poison and self.poison in document:
                error = {"type": "document_parsing_exception", "reason": "failed to parse"}
                items.append({"create": {"status": 400, "error": error}})
            elif identifier in self.ids:
                items.append({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}})
            else:
                self.events.append(document)
                self.ids.append(identifier)
                items.append({"create": {"status": 201}})
        return web.json_response({"errors": True, "items": items})

    async def _otlp(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, "Bearer"):
            return refusal
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        answer = ExportLogsServiceResponse()
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    text = record.body.string_value
                    if self.poison and self.poison in text:
                        answer.partial_success.rejected_log_records += 1
                        continue
                    self.events.append(text)
                    ids = [a.value.string_value for a in record.attributes if a.key == "greffier.event.id"]
                    self.ids += ids
        return web.Response(body=answer.SerializeToString(), content_type="application/x-protobuf")


async def soon(condition: Any, within_s: float = 10.0) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It did not in time.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true within {within_s:g} s")
        await asyncio.sleep(0.02)
