"""``greffier guard serve`` as its own process, for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from greffier.adapters.detectors.remote import RemoteGuard
from greffier.adapters.http import Origin
from greffier.testing import compiled

_START_S = 40.0
_STOP_S = 20.0


def client_of(path: Path, *, deadline_ms: int = 20_000, hedge_after_ms: int = 10_000) -> RemoteGuard:
    """A client of the service on a socket."""
    return RemoteGuard(
        Origin("http", "guards.invalid", 80),
        socket_path=str(path),
        deadline_ms=deadline_ms,
        hedge_after_ms=hedge_after_ms,
        max_batch=64,
        max_connections=8,
    )


class RunningGuardService:
    """A guard service on a Unix socket beside its workspace. Use as a context manager."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.socket = workspace / "guard.sock"
        self.log = workspace / "guard.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it accepts."""
        line = [sys.executable, "-m", "greffier.cli.main", "guard", "serve", "-w", str(self.workspace)]
        compiled.lend(self.workspace)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*line, "--socket", str(self.socket)], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._accepts():
                compiled.keep(self.workspace)
                return self
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the guard service did not start:\n{self.log.read_text()}")

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self.process is not None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """``kill -9``; its socket stays behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Stop it in order; kill what does not stop."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
