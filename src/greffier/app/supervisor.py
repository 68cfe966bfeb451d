"""The parent process: binds the port, starts the workers, seals the log, and stops in order."""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from greffier.app.chronicle import chronicling
from greffier.app.copying import copying
from greffier.app.early import Early, fork_early
from greffier.app.following import following_erasures
from greffier.app.privacy_desk import replay_erasures
from greffier.app.processes import http_url, raise_file_limit
from greffier.app.reconciling import missing, set_aside
from greffier.app.retention import InForce, retention
from greffier.app.sealing import sealing
from greffier.app.shipping import shipping
from greffier.app.spending import bookkeeping
from greffier.app.taking_over import take_over
from greffier.app.telling import telling
from greffier.app.worker import environment, prepare, run
from greffier.audit.copies import CopyUnavailable
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.audit.sinks import SinkUnavailable
from greffier.audit.tiles import BadLog
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.governance.incidents.ports import IncidentsUnavailable
from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.guardrails.reviews import ReviewsUnavailable
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.spend import SpendUnavailable

log = logging.getLogger(__name__)

_READY_TIMEOUT_S = 90.0
_QUICK_DEATH_S = 5.0
_MAX_QUICK_DEATHS = 5
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 30.0
_BACKLOG = 2048
_OTHER_ADDRESS = "Stop what listens there, or choose another --host or --port."


class ServeOptions(msgspec.Struct, frozen=True):
    """What ``greffier serve`` was asked for."""

    workspace: Path
    host: str
    port: int
    workers: int


class Launch(msgspec.Struct, frozen=True):
    """What is there before the platform runs: the port, and the first workers, which wait to be told to serve."""

    listener: socket.socket
    early: tuple[Early, ...]


Restarting = Callable[[int, int], Awaitable[None]]


class StartFailed(Exception):  # noqa: N818 - named for the condition the command line reports
    """The platform did not come up; the message says why, ``remedy`` what to do."""

    def __init__(
        self, reason: str, remedy: str = "Read the messages above; 'greffier doctor' checks the installation."
    ) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Worker:
    """One serving process, restarted when it dies."""

    def __init__(
        self, number: int, options: ServeOptions, listener: socket.socket, metrics: Path, early: Early | None
    ) -> None:
        self.number = number
        self._options = options
        self._listener = listener
        self._metrics = metrics
        self._environment = environment(number, options.workers, metrics)
        self._early = early
        self.process: asyncio.subprocess.Process | Early | None = None
        self.serves = False

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            StartFailed: It died or stayed silent.
        """
        self.process, ready = await self._begun()
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                if not await asyncio.to_thread(os.read, ready, 1):
                    code = await self.process.wait()
                    raise StartFailed(f"worker {self.number} stopped with exit code {code} before it was ready")
            self.serves = True
        except TimeoutError:
            self.process.kill()
            raise StartFailed(f"worker {self.number} was not ready after {_READY_TIMEOUT_S:.0f} s") from None
        finally:
            os.close(ready)

    async def _begun(self) -> tuple["asyncio.subprocess.Process | Early", int]:
        """A process that is getting ready, and where it says when it serves."""
        if self._early is not None:
            early, self._early = self._early, None
            early.go(self._environment)
            return early, early.ready
        ready, told = os.pipe()
        fds = (self._listener.fileno(), told)
        command = [sys.executable, "-m", "greffier.app.worker", str(self._options.workspace), *map(str, fds)]
        process = await asyncio.create_subprocess_exec(*command, pass_fds=fds, env=os.environ | self._environment)
        os.close(told)
        return process, ready

    async def keep_alive(self, stopping: asyncio.Event, others: Callable[[], bool], restarting: Restarting) -> None:
        """Start another process whenever this one dies; the worse it goes, the longer the wait before the next try.

        Args:
            stopping: Set when dying is what was asked for.
            others: Whether any worker serves; while one does, the platform is not given up.
            restarting: Called before another process is started, with the exit code of the last one.

        Raises:
            StartFailed: It keeps dying, and nobody else serves.
        """
        failures = 0
        while self.process is not None and not stopping.is_set():
            began = time.monotonic()
            code = await self.process.wait()
            self.serves = False
            if stopping.is_set():
                return
            forget_gauges(self._metrics, self.process.pid)
            failures = failures + 1 if time.monotonic() - began < _QUICK_DEATH_S else 0
            log.error("worker %d died with exit code %s; starting another", self.number, code)
            if failures >= _MAX_QUICK_DEATHS and not others():
                raise StartFailed(f"worker {self.number} died {failures} times within seconds of starting")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), min(_FIRST_WAIT_S * 2**failures, _LONGEST_WAIT_S))
                return
            await restarting(self.number, code)
            try:
                await self.start()
            except StartFailed as error:
                log.error("%s", error)  # noqa: TRY400 - the worker has said why

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def stop(self, timeout_s: float) -> None:
        """Let requests in flight finish, then leave; kill what is left after the timeout."""
        self.signal(signal.SIGTERM)
        if self.process is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            log.error("worker %d did not drain within %.0f s; killing it", self.number, timeout_s)  # noqa: TRY400
            self.signal(signal.SIGKILL)
            await self.process.wait()


def listen(host: str, port: int) -> socket.socket:
    """Bind the port all workers accept from.

    Raises:
        StartFailed: The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
        raise StartFailed(f"cannot listen on {host}:{port}: {reason}", _OTHER_ADDRESS) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.set_inheritable(True)
    return listener


def claim(paths: WorkspacePaths) -> int:
    """Be the only platform of this workspace; the claim ends with the returned descriptor or the process.

    Raises:
        StartFailed: Another one runs.
    """
    descriptor = os.open(paths.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartFailed(
            "another gateway serves this workspace already",
            "Stop it first; 'greffier reload' makes it take new configuration without a stop.",
        ) from None
    return descriptor


def fresh_metrics_folder(paths: WorkspacePaths, memory: Path = Path("/dev/shm")) -> Path:  # noqa: S108 - see below
    """An empty folder for the workers' shared metrics, in memory where the machine has a place for that.

    The files are mapped into memory: writing to one while the disk is full would end the process (SIGBUS). The name
    follows from the workspace, so that a killed platform leaves nothing behind for ever. Whoever else may have made a
    folder of that name keeps it to themselves: then ours lies in the state folder.
    """
    name = hashlib.sha256(os.fsencode(paths.root.resolve())).hexdigest()[:16]
    for folder in (memory / f"greffier-{os.getuid()}-{name}", paths.run / "metrics"):
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError, FileExistsError, PermissionError):
            folder.mkdir(mode=0o700)
            return folder
    raise StartFailed(f"there is no place for metrics: {paths.run} cannot be written")


def forget_gauges(metrics: Path, pid: int) -> None:
    """Take away what a dead worker last said of itself; what it counted stays in the sums."""
    for file in metrics.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)


def launch(options: ServeOptions, snapshot: Snapshot) -> Launch:
    """Bind the port and fork the first workers. Call while the process has one thread and no event loop.

    Raises:
        StartFailed: The address is taken or not ours.
    """
    raise_file_limit()
    # Workers inherit this: a request to reload that comes before they listen for it must not end them.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    listener = listen(options.host, options.port)

    def serve(told: Mapping[str, str], ready: int) -> None:
        os.environ.update(told)
        run(options.workspace, listener, ready)

    return Launch(listener, fork_early(options.workers, lambda: prepare(options.workspace, snapshot), serve))


async def supervise(
    options: ServeOptions, snapshot: Snapshot, launched: Launch, started: asyncio.Event | None = None
) -> None:
    """Run the platform until SIGTERM or SIGINT.

    Raises:
        StartFailed: It did not come up, or cannot be kept up.
    """
    paths = WorkspacePaths(options.workspace)
    try:
        paths.ensure()
        await _supervise(paths, options, snapshot, launched, started)
    except (
        JournalUnavailable,
        SpendUnavailable,
        ContentUnavailable,
        KeyStoreUnavailable,
        PrivacyUnavailable,
        NotAllowed,
        SinkUnavailable,
        CopyUnavailable,
        IncidentsUnavailable,
        ReviewsUnavailable,
    ) as error:
        raise StartFailed(str(error)) from error
    except OSError as error:
        raise StartFailed(f"the state folder cannot be used: {error}") from error
    finally:
        for early in launched.early:
            early.give_up()


async def _supervise(
    paths: WorkspacePaths,
    options: ServeOptions,
    snapshot: Snapshot,
    launched: Launch,
    started: asyncio.Event | None,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        listener = launched.listener
        stack.callback(listener.close)
        stack.callback(os.close, claim(paths))
        metrics = fresh_metrics_folder(paths)
        stack.callback(shutil.rmtree, metrics, ignore_errors=True)
        early = [*launched.early, *[None] * options.workers]
        workers = [Worker(number, options, listener, metrics, early[number]) for number in range(options.workers)]
        stopping = _on_signals(workers)
        chronicle = await stack.enter_async_context(chronicling(paths, snapshot.workspace.audit))
        await asyncio.to_thread(_refuse_lacking, paths)
        await asyncio.to_thread(take_over, paths)
        # Before the sealer, so that it ends after it: the stop and the last events still reach the sinks.
        await stack.enter_async_context(shipping(paths, snapshot, metrics))
        await stack.enter_async_context(sealing(paths, snapshot.workspace.audit))
        await stack.enter_async_context(copying(paths, snapshot, metrics))
        await stack.enter_async_context(bookkeeping(paths))
        # A restored backup is cleaned before anything is served from it.
        await asyncio.to_thread(replay_erasures, paths)
        await stack.enter_async_context(following_erasures(paths))
        await stack.enter_async_context(retention(paths, InForce(paths, snapshot)))
        await stack.enter_async_context(telling(paths, InForce(paths, snapshot)))
        host, port = listener.getsockname()[:2]
        await chronicle.started(host, port, len(workers), snapshot)
        try:
            await asyncio.gather(*(worker.start() for worker in workers))
            (paths.run / "address").write_text(http_url(host, port) + "\n")
            (paths.run / "pid").write_text(f"{os.getpid()}\n")
            log.info("serving on %s with %d worker(s)", http_url(host, port), len(workers))
            if started is not None:
                started.set()
            await _until_stopped(workers, stopping, chronicle.restarting)
        finally:
            stopping.set()
            listener.close()
            await asyncio.gather(*(w.stop(snapshot.workspace.server.drain_timeout_s + 5) for w in workers))
            for name in ("address", "pid"):
                (paths.run / name).unlink(missing_ok=True)
            await chronicle.stopped()


def _refuse_lacking(paths: WorkspacePaths) -> None:
    """Refuse to serve from restored stores that lack what people did since.

    Raises:
        StartFailed: They do.
    """
    try:
        lacking = sum(len(one.open) for one in missing(paths))
    except BadLog as error:
        said = f"it cannot be told whether the stores lack anything that is on record: {error}"
        if set_aside(paths):
            raise StartFailed(f"{said}; mend the log that the restore set aside in {paths.replaced}") from error
        log.critical("%s", said)  # as whenever the log is damaged: nothing is sealed, and requests go on
        return
    if lacking:
        raise StartFailed(
            f"{lacking} act(s) of people are on record and no longer in the stores, which were restored from a copy: "
            "'greffier restore missing' names them, 'greffier restore enter' and 'settle' put them in order"
        )


def _on_signals(workers: list[Worker]) -> asyncio.Event:
    """SIGTERM and SIGINT set the returned event; SIGHUP is passed on to the workers."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def reload_workers() -> None:
        for worker in workers:
            worker.signal(signal.SIGHUP)

    loop.add_signal_handler(signal.SIGHUP, reload_workers)
    return stopping


async def _until_stopped(workers: list[Worker], stopping: asyncio.Event, restarting: Restarting) -> None:
    def any_serves() -> bool:
        return any(worker.serves for worker in workers)

    keepers = [asyncio.create_task(worker.keep_alive(stopping, any_serves, restarting)) for worker in workers]
    stop = asyncio.create_task(stopping.wait())
    done, pending = await asyncio.wait([*keepers, stop], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        if task is not stop:
            task.result()
