"""Run the real platform as its own processes: ``greffier serve`` on a free port, over a workspace of the test."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typer.testing import CliRunner

from greffier.cli.main import app
from greffier.config.paths import WorkspacePaths
from greffier.storage.journal import open_reader
from greffier.testing import compiled
from greffier.testing.ports import free_port

_START_S = 100.0
_STOP_S = 40.0


class Answer:
    """An HTTP answer, read whole."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def frames(self) -> list[Any]:
        """The frames of a stream, parsed; the last one of a whole OpenAI stream is ``[DONE]``."""
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    @property
    def code(self) -> str:
        """The stable error code, in whatever shape the answer has; empty for a success."""
        body = self.json
        error = body.get("error", {})
        return str(error.get("code") or error.get("details", {}).get("error_code") or body.get("code", ""))


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It did not in time.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true within {within_s:g} s")
        time.sleep(0.05)


class Platform:
    """A running platform. Use as a context manager; it is stopped in order on the way out.

    Args:
        workspace: A workspace that `greffier config check` accepts.
        environment: Variables the workspace refers to.
        workers: Serving processes.
    """

    def __init__(self, workspace: Path, environment: dict[str, str] | None = None, workers: int = 1) -> None:
        self.workspace = workspace
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | (environment or {})
        self._workers = workers
        self.process: subprocess.Popen[bytes] | None = None
        self.log = workspace / ".greffier" / "run" / "test.log"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a ``greffier`` command on the workspace."""
        line = [sys.executable, "-m", "greffier.cli.main", *arguments, "--workspace", str(self.workspace)]
        return subprocess.run(line, env=self._environment, capture_output=True, text=True, timeout=120, check=False)

    def create_key(self, tenant: str, use_case: str, *more: str) -> str:
        """Issue an API key: by the command, in this process, for a new interpreter takes a second of CPU."""
        line = ["keys", "create", "--tenant", tenant, "--use-case", use_case, "--json", *more]
        done = CliRunner().invoke(app, [*line, "--workspace", str(self.workspace)], env=self._environment)
        if done.exit_code:
            raise RuntimeError(f"no key was issued: {done.output}") from done.exception
        return str(json.loads(done.stdout)["key"])

    def launch(self) -> None:
        """Start serving, and do not wait for anything."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        compiled.lend(self.workspace)
        line = [sys.executable, "-m", "greffier.cli.main", "serve", "--workspace", str(self.workspace)]
        line += ["--port", str(self.port), "--workers", str(self._workers)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(line, env=self._environment, stdout=log, stderr=log, start_new_session=True)

    def refusal(self) -> tuple[int, str]:
        """Start a platform that must not come up; its exit code and what it said."""
        self.log.unlink(missing_ok=True)
        self.launch()
        if self.process is None:
            raise RuntimeError("nothing was started")
        code = self.process.wait(_START_S)
        self.process = None
        return code, self.log.read_text()

    def start(self) -> Self:
        """Start serving and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                if self._all_started() and self.request("GET", "/readyz").status == http.client.OK:
                    compiled.keep(self.workspace)
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"the platform did not start:\n{self.log.read_text()}")

    def _all_started(self) -> bool:
        """Whether the supervisor has seen every worker serve: it writes down its process id then."""
        pid = self.workspace / ".greffier" / "run" / "pid"
        return self.process is not None and pid.exists() and pid.read_text().strip() == str(self.process.pid)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> Answer:
        """Send one request; a body that is not bytes is sent as JSON."""
        sent = {"content-type": "application/json"} if body is not None else {}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, data, sent | (headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def chat(self, key: str, content: str, **more: Any) -> Answer:
        """Send one user message as an OpenAI chat completion."""
        body = {"model": "assistant", "messages": [{"role": "user", "content": content}]} | more
        return self.request("POST", "/v1/chat/completions", body, key=key)

    def records(self, request_id: str = "") -> list[dict[str, Any]]:
        """Events of the journal in order: those of one request, or all."""
        reader = open_reader(WorkspacePaths(self.workspace))
        try:
            found = reader.find(request_id) if request_id else reader.scan()
            return [json.loads(event.data) for event in found]
        finally:
            reader.close()

    def workers(self) -> list[int]:
        """Process ids of the serving processes."""
        if self.process is None:
            return []
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        """Stop in order and return the exit code; what does not stop is killed."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        code = self.process.wait()
        self.process = None
        return code

    def kill(self) -> None:
        """``kill -9`` the whole process group."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
