"""A real redis-server (or valkey-server) on a free port, for tests. Missing means failed, never skipped."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from greffier.testing.ports import free_port

_START_S = 10.0


class RedisServer:
    """A server that tests may stop, freeze, thaw and start again; it keeps nothing on disk."""

    def __init__(self) -> None:
        binary = shutil.which("valkey-server") or shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("neither valkey-server nor redis-server is installed; run: apt-get install redis-server")
        self._binary = binary
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            RuntimeError: It did not come up.
        """
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"{self._binary} did not answer on port {self.port}")

    def kill(self) -> None:
        """Stop at once, losing everything it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop answering while connections stay open: slower than any timeout."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`, answering what came in meanwhile."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


def running_server() -> Iterator[RedisServer]:
    """Body of a fixture: a server that is gone afterwards, whatever the test did to it."""
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.thaw()
        server.kill()
