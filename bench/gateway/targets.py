"""What is measured side by side: no gateway, Greffier, nginx, and two peers when they install."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from gateway import machine
from gateway.traffic import chat_body
from gateway.workspace import MODEL, Database, Size, write_workspace

from greffier.testing.postgres_server import PostgresServer

LITELLM = "1.106.2"
PORTKEY = "1.15.2"
_CHAT = "/v1/chat/completions"
_START_S = 120.0
_MASTER_KEY = "sk-bench-1234"


class Unavailable(Exception):  # noqa: N818 - named for the condition that the table reports
    """A peer could not be installed or started; the message says why."""


class Target:
    """Something that answers chat completions. Started pinned to a CPU, stopped on the way out."""

    command: tuple[str, ...] = ()
    model = "mock"

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.path = _CHAT
        self.headers: list[str] = []
        self.keys: Path | None = None
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0

    def start(self, cpu: str, log: Path) -> Self:
        """Start and wait for the first right answer.

        Raises:
            Unavailable: It does not answer.
        """
        began = time.monotonic()
        if self.command:
            self.process = machine.start(list(self.command), cpu, log, self.environment)
        problem = "no answer"
        while time.monotonic() - began < _START_S:
            if self.process is not None and self.process.poll() is not None:
                problem = f"stopped with exit code {self.process.returncode}"
                break
            try:
                problem = self._problem()
            except OSError as error:
                problem = str(error)
            if not problem:
                self.started_s = time.monotonic() - began
                return self
            time.sleep(0.1)
        self.stop()
        tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        raise Unavailable(f"{self.name} does not answer: {problem}\n{tail}")

    def _problem(self) -> str:
        """Ask once; say what is wrong with the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = dict(header.split(": ", 1) for header in self.headers)
        if self.keys is not None:
            headers["Authorization"] = "Bearer " + self.keys.read_text().split("\n", 1)[0]
        try:
            body = chat_body(self.model)
            connection.request("POST", self.path, body, headers | {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        return "" if b"replacement policy" in answer else f"{response.status} {answer[:300].decode(errors='replace')}"

    @property
    def pid(self) -> int | None:
        """The first process, if we started one."""
        return None if self.process is None else self.process.pid

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process is not None:
            machine.stop(self.process)
            self.process = None


class Greffier(Target):
    """The platform with every control on, over a workspace of a given size."""

    model = MODEL

    def __init__(  # noqa: PLR0917 - the same order as the other targets
        self,
        name: str,
        port: int,
        folder: Path,
        size: Size,
        upstream_port: int,
        python: str = sys.executable,
        database: Database | None = None,
    ) -> None:
        super().__init__(name, port)
        self.workspace = folder
        self.size = size
        self.keys = write_workspace(folder, size, f"http://127.0.0.1:{upstream_port}/v1", database)
        self.command = (python, "-m", "greffier.cli.main", "serve", "--workspace", str(folder))
        self.command += ("--port", str(port), "--workers", "1")


class GreffierPostgres(Greffier):
    """The platform with its stores in PostgreSQL, whose server shares the other core with load and upstream."""

    def __init__(self, name: str, port: int, folder: Path, size: Size, upstream_port: int, cpu: str) -> None:  # noqa: PLR0917 - as above
        try:
            self._server = PostgresServer()
        except RuntimeError as error:
            raise Unavailable(str(error)) from error
        self._server.start()
        self._server.pin(cpu)
        database = self._server.database()
        addresses = {"BENCH_DB": self._server.url(database, "gateway"), "BENCH_DB_ADMIN": self._server.url(database)}
        os.environ.update(addresses)
        try:
            super().__init__(
                name, port, folder, size, upstream_port, database=Database("env:BENCH_DB", "env:BENCH_DB_ADMIN")
            )
        except BaseException:
            self._server.remove()
            raise

    def stop(self) -> None:
        """Stop it and its server."""
        running = self.process is not None
        super().stop()
        if running:
            self._server.remove()


class Nginx(Target):
    """Pass-through with keep-alive: the limit for a proxy that copies bytes and governs nothing."""

    def __init__(self, port: int, folder: Path, upstream_port: int) -> None:
        super().__init__("nginx", port)
        binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if binary is None:
            raise Unavailable("nginx is not installed (Debian package nginx)")
        folder.mkdir()
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 1000000000; client_body_temp_path "
            f"{folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; "
            f"scgi_temp_path {folder}/s;\n"
            f"upstream model {{ server 127.0.0.1:{upstream_port}; keepalive 512; keepalive_requests 1000000000; }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://model; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; proxy_buffering off; } } }\n'
        )
        self.command = (binary, "-c", str(config), "-p", str(folder))


class LiteLLM(Target):
    """LiteLLM's proxy: one worker, a master key, no database, production mode, quiet."""

    def __init__(self, port: int, folder: Path, environment: Path, upstream_port: int) -> None:
        super().__init__("LiteLLM", port)
        folder.mkdir()
        executable = _installed_litellm(environment)
        parameters = {"model": "openai/mock", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "x"}
        config = folder / "litellm.json"
        config.write_text(
            json.dumps(
                {
                    "model_list": [{"model_name": "mock", "litellm_params": parameters}],
                    "general_settings": {"master_key": _MASTER_KEY},
                    "litellm_settings": {"set_verbose": False},
                }
            )
        )
        self.headers = [f"Authorization: Bearer {_MASTER_KEY}"]
        self.command = (str(executable), "--config", str(config), "--host", "127.0.0.1", "--port", str(port))
        self.command += ("--num_workers", "1", "--telemetry", "False")
        self.environment = {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "DISABLE_ADMIN_UI": "True",
            "PATH": f"{executable.parent}:{os.environ['PATH']}",
        }


class Portkey(Target):
    """Portkey's open-source gateway on Node; it checks no key of its own."""

    def __init__(self, port: int, prefix: Path, upstream_port: int) -> None:
        super().__init__("Portkey", port)
        script = _installed_portkey(prefix)
        self.headers = [
            "Authorization: Bearer x",
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{upstream_port}/v1",
        ]
        self.command = ("node", str(script), "--headless", f"--port={port}")
        self.environment = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}


def _installed_litellm(environment: Path) -> Path:
    executable = environment / "bin" / "litellm"
    if not executable.exists():
        uv = Path(sys.executable).parent / "uv"
        _run(str(uv), "venv", "--quiet", "--allow-existing", str(environment))
        _run(str(uv), "pip", "install", "--quiet", "--python", str(environment), f"litellm[proxy]=={LITELLM}")
    return executable


def _installed_portkey(prefix: Path) -> Path:
    script = prefix / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not script.exists():
        prefix.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--loglevel=error")
        _run("npm", "install", "--prefix", str(prefix), *quiet, f"@portkey-ai/gateway@{PORTKEY}")
    return script


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:3])}... failed: {(done.stderr or done.stdout).strip()[-300:]}")
