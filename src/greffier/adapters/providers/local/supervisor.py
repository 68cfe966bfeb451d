"""Keeps one engine process running for all workers of a workspace.

Every worker runs a supervisor; a file lock elects the one that tends the engine. When that worker dies, the engine dies
with it and another worker takes over. The others only read where the engine listens.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import sys
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

_POLL_S = 0.25
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 30.0
_STABLE_S = 60.0
_FAILING_S = 1.0  # how long a caller waits for an engine whose last start came to nothing
_STOP_S = 5.0


class EngineAddress(msgspec.Struct, frozen=True):
    """Where an engine listens. Its ``repr`` keeps the key to itself."""

    address: str
    key: str
    pid: int

    def __repr__(self) -> str:
        return f"EngineAddress({self.address}, pid={self.pid})"


class EngineOptions(msgspec.Struct, frozen=True):
    """How an engine is run.

    Attributes:
        model: Path of the GGUF file.
        name: Model name to report.
        context: Tokens of context per request.
        slots: Requests at the same time.
        threads: Threads that compute; llama.cpp's spin barriers collapse when they outnumber the free cores.
        memory_mib: Cap on address space; 0 for none.
    """

    model: Path
    name: str
    context: int = 2048
    slots: int = 2
    threads: int = max(1, (os.cpu_count() or 2) - 1)
    memory_mib: int = 0

    def digest(self) -> str:
        """Eight hex digits that differ when the options do."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.astuple(self), enc_hook=str)).hexdigest()[:8]


_DECODER: msgspec.json.Decoder[EngineAddress] = msgspec.json.Decoder(EngineAddress)


class EngineSupervisor:
    """Starts, watches and restarts the engine of one deployment.

    Args:
        deployment: Its name; part of the names of its files.
        options: How to run the engine.
        run_dir: Folder for address, lock and log, private to the owner.

    Attributes:
        port_file: Where the engine writes its address.
        lock_file: Who holds it tends the engine.
        current: Where the engine listens, as far as known.
    """

    def __init__(self, deployment: str, options: EngineOptions, run_dir: Path) -> None:
        self._deployment = deployment
        self._options = options
        # The options are part of the name: while a new configuration replaces an old one, both engines run, and neither
        # answers for the other.
        stem = f"engine-{deployment}-{options.digest()}"
        self.port_file = run_dir / f"{stem}.json"
        self.lock_file = run_dir / f"{stem}.lock"
        self._log_file = run_dir / f"{stem}.log"
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._published = False
        self._failures = 0  # starts in a row that came to nothing
        self.current: EngineAddress | None = None

    def start(self) -> None:
        """Begin, in the running loop. May be called again.

        Raises:
            OSError: The folder for address and lock cannot be written.
        """
        if self._task is None:
            self.port_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._task = asyncio.get_running_loop().create_task(self._run(lock), name=f"engine-{self._deployment}")

    async def ready(self, within_s: float) -> EngineAddress | None:
        """Where the engine listens, waiting for it to start; None if it does not in time, or cannot start at all."""
        self.start()
        failures = self._failures
        try:
            async with asyncio.timeout(min(within_s, _FAILING_S) if failures else within_s):
                while self.current is None and self._failures == failures:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self.current

    async def stop(self) -> None:
        """Stop; if this worker tends the engine, end it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._set(None)

    def _set(self, address: EngineAddress | None) -> None:
        if address != self.current:
            self.current = address
            self._changed.set()
        if address is not None:
            self._failures = 0
            self._published = True

    def refresh(self) -> EngineAddress | None:
        """Look again where the engine listens, now: the address known so far did not answer."""
        try:
            found = _DECODER.decode(self.port_file.read_bytes())
            self._set(found if _is_running(found.pid) else None)
        except FileNotFoundError:
            self._set(None)
        except (OSError, msgspec.DecodeError):
            log.warning("engine address of %s cannot be read", self._deployment)
            self._set(None)
        return self.current

    async def _run(self, lock: int) -> None:
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.refresh()
                    await asyncio.sleep(_POLL_S)
                else:
                    await self._tend()
        finally:
            os.close(lock)

    async def _tend(self) -> None:
        """Keep the engine running until cancelled."""
        backoff = _FIRST_BACKOFF_S
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            self._published = False
            code = await self._run_once()
            if not self._published:
                self._failures += 1
                self._changed.set()
            if loop.time() - started > _STABLE_S:
                backoff = _FIRST_BACKOFF_S
            log.warning(
                "engine of %s ended with status %s; next start in %.1f s; see %s",
                self._deployment,
                code,
                backoff,
                self._log_file.name,
            )
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF_S)

    async def _run_once(self) -> int | None:
        self.port_file.unlink(missing_ok=True)
        output = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                start_new_session=True,  # Ctrl-C reaches our group and not the engine: answers under way finish
            )
        finally:
            os.close(output)
        waiting = asyncio.ensure_future(process.wait())
        try:
            while not waiting.done():
                self.refresh()
                await asyncio.wait((waiting,), timeout=_POLL_S)
        finally:
            self.port_file.unlink(missing_ok=True)
            self._set(None)
            if process.returncode is None:
                process.terminate()
                done, _ = await asyncio.wait((waiting,), timeout=_STOP_S)
                if not done:
                    process.kill()
                    await waiting
        return process.returncode

    def _command(self) -> list[str]:
        options = self._options
        return [
            sys.executable,
            "-m",
            "greffier.adapters.providers.local.engine",
            *("--model", str(options.model)),
            *("--port-file", str(self.port_file)),
            *("--name", options.name),
            *("--context", str(options.context)),
            *("--slots", str(options.slots)),
            *("--threads", str(options.threads)),
            *("--memory-mib", str(options.memory_mib)),
            *("--parent", str(os.getpid())),
        ]


def _is_running(pid: int) -> bool:
    """Whether a process does anything still: what was killed leaves its address behind for a moment (proc(5))."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _environment() -> dict[str, str]:
    """What the engine needs of ours; API keys of other providers are none of its business."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
