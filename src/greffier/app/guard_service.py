"""``greffier guard serve``: the guardrail engine in a process of its own, with its own bundle, health and metrics."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

import greffier
from greffier.app.guarding import OwnDetectors
from greffier.app.processes import http_url
from greffier.app.serving import Server
from greffier.config.loading import fingerprint, load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.errors import GreffierError
from greffier.gateway.guard_service import GuardServiceApp
from greffier.guardrails import automata
from greffier.guardrails.screen import Guard
from greffier.guardrails.signature_packs import pack_ends, pack_warnings
from greffier.telemetry.packs import PackMetrics

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_DRAIN_S = 10
_KEEP_ALIVE_S = 75
_BACKLOG = 2048
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class GuardServeOptions(msgspec.Struct, frozen=True):
    """What ``greffier guard serve`` was asked for: a Unix socket, or an address and port."""

    workspace: Path
    socket: Path | None
    host: str
    port: int
    token: str = ""
    max_waiting: int = 256


class CannotListen(Exception):  # noqa: N818 - named for the condition the command line reports
    """The socket or port cannot be used."""


class GuardService:
    """Measures for gateways, and follows its own workspace: a bad bundle never replaces a good one."""

    def __init__(self, paths: WorkspacePaths, snapshot: Snapshot, options: GuardServeOptions) -> None:
        self._paths = paths
        self._snapshot = snapshot
        self._own = OwnDetectors(paths.root)
        self._fingerprint = fingerprint(paths)
        self._refused = ""
        self._look_now = asyncio.Event()
        self._registry = CollectorRegistry()
        self._calls = Counter("greffier_guard_calls", "Calls by result.", ("result",), registry=self._registry)
        self._passages = Counter("greffier_guard_passages", "Passages measured.", registry=self._registry)
        self._seconds = Histogram(
            "greffier_guard_seconds", "Time of a call.", buckets=_SECONDS, registry=self._registry
        )
        self._reloads = Counter(
            "greffier_guard_reloads", "Bundles taken or refused.", ("result",), registry=self._registry
        )
        self._packs = PackMetrics(self._registry)
        self.app = GuardServiceApp(
            self._guard_of(snapshot),
            snapshot.revision,
            token=options.token,
            max_body_bytes=snapshot.workspace.server.max_body_bytes * 2,  # JSON escapes; the gateway has bounds too
            max_waiting=options.max_waiting,
            facts=self._facts,
            metrics=self._metrics,
            on_measured=self._measured,
        )

    def _metrics(self) -> tuple[str, bytes]:
        self._packs.show(pack_ends(self._snapshot.signature_packs))
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _measured(self, result: str, passages: int, seconds: float) -> None:
        self._calls.labels(result).inc()
        self._passages.inc(passages)
        self._seconds.observe(seconds)

    def _facts(self) -> dict[str, Any]:
        return {
            "version": greffier.__version__,
            "snapshot": self._snapshot.revision,
            "signed_by": self._snapshot.signed_by,
            "screens": sorted(self._snapshot.screens),
            "warnings": [
                *([f"a newer configuration was refused: {self._refused}"] if self._refused else []),
                *pack_warnings(self._snapshot.signature_packs, SystemClock().wall_ms()),
            ],
        }

    def _guard_of(self, snapshot: Snapshot) -> Guard:
        """The guard of a bundle: every detector in this process, and the workspace's own over HTTP; no judges."""
        outside = self._own.for_snapshot(snapshot, {})
        return Guard(
            snapshot.screens,
            snapshot.topics,
            clock=SystemClock(),
            outside=outside,
            packs=snapshot.signature_packs,
        )

    async def close(self) -> None:
        """Close connections to the workspace's own detectors."""
        await self._own.close()

    def reload_soon(self) -> None:
        """Look for a new bundle now."""
        self._fingerprint = ""
        self._look_now.set()

    async def follow_workspace(self) -> None:
        """Take new bundles as they come."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._look_now.wait()
            self._look_now.clear()
            seen = await asyncio.to_thread(fingerprint, self._paths)
            if seen != self._fingerprint:
                self._fingerprint = seen
                await self._reload()

    async def _reload(self) -> None:
        try:
            snapshot = await asyncio.to_thread(load_snapshot, self._paths)
            if snapshot.revision == self._snapshot.revision:
                self._refused = ""
                return
            guard = await asyncio.to_thread(self._guard_of, snapshot)
        except (ConfigError, GreffierError) as error:
            self._refused = error.reason
            self._reloads.labels("refused").inc()
            log.error("a new bundle was refused, %s stays in force: %s", self._snapshot.revision[:16], error.reason)  # noqa: TRY400 - the reason says it all
            return
        self.app.swap(guard, snapshot.revision)
        self._snapshot = snapshot
        self._refused = ""
        self._reloads.labels("swapped").inc()
        log.warning("bundle %s is in force, signed by %s", snapshot.revision[:16], snapshot.signed_by or "NOBODY")


async def serve_guard(options: GuardServeOptions, snapshot: Snapshot, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP looks for a new bundle at once.

    Args:
        options: Where to listen.
        snapshot: What to serve first.
        started: Told the address once it accepts.

    Raises:
        CannotListen: The socket or port cannot be used.
        GreffierError: A detector cannot be loaded.
    """
    paths = WorkspacePaths(options.workspace)
    try:
        automata.keep_in(paths.run / "automata")
    except OSError as error:  # a workspace that only reads is a good one for a service
        log.warning("each start compiles all patterns, for they cannot be kept: %s", error.strerror)
    service = GuardService(paths, snapshot, options)
    listener, address = _listen(options)
    config = uvicorn.Config(
        service.app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    server = Server(config, lambda: started(address))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        service.app.draining = True
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
    following = asyncio.create_task(service.follow_workspace(), name="follow-workspace")
    try:
        await server.serve(sockets=[listener])
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        listener.close()
        await service.close()
        if options.socket is not None:
            options.socket.unlink(missing_ok=True)


def _listen(options: GuardServeOptions) -> tuple[socket.socket, str]:
    try:
        if options.socket is not None:
            return _listen_on_path(options.socket), str(options.socket)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen: {error.strerror or error}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = listener.getsockname()[:2]
    return listener, http_url(host, port)


def _listen_on_path(path: Path) -> socket.socket:
    """A socket that only this user may use. One left over by a killed process is replaced, one in use is not."""
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise CannotListen(f"{path} is there and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise CannotListen(f"another process serves {path}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        old = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(old)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
