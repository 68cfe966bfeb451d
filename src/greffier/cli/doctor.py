"""``greffier doctor``: check the installation and say what is wrong."""

import asyncio
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import typer
from rich.markup import escape

from greffier.adapters.providers.build import BadDeployment, build_provider
from greffier.app.reaching import look_outside
from greffier.app.stores import open_reader
from greffier.app.timekeeping import time_source
from greffier.audit.ports import JournalUnavailable
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.config.storage import storage_in_force
from greffier.core.clock import SystemClock
from greffier.guardrails.signature_packs import pack_warnings
from greffier.storage.engine import sqlite_version

app = typer.Typer()

_LEAST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 1 << 30
_OTHERS = 0o077
_PATIENCE_S = 5.0
State = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    what: str
    state: State
    detail: str
    remedy: str = ""


@app.command("doctor")
def doctor(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")] = Path(),
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Connect to nothing outside this machine.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, the workspace and the ways out; the exit code is 0 only if nothing is wrong.

    Connects to the servers of models, of shared limits and of identity providers, and asks them nothing but that.
    """
    findings = [*_installation(), *_clock(), *_workspace(workspace, offline=offline)]
    if as_json:
        print_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        colours = {"ok": "green", "warning": "yellow", "wrong": "red"}
        for finding in findings:
            told = escape(f"{finding.what}: {finding.detail}")
            out.print(f"[{colours[finding.state]}]{finding.state:8}[/] {told}")
            if finding.remedy:
                out.print(f"         [bold]remedy:[/] {escape(finding.remedy)}")
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(int(Exit.FAILED))


def _installation() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info >= _LEAST_PYTHON:
        yield Finding("Python", "ok", version)
    else:
        yield Finding("Python", "wrong", version, "Install Python 3.11 or newer.")
    yield Finding("SQLite", "ok", sqlite_version())
    if find_spec("hyperscan"):
        yield Finding("pattern scanner", "ok", "Hyperscan")
    else:
        yield Finding("pattern scanner", "warning", "RE2 only; screens are slower", "Install hyperscan (x86-64).")
    if find_spec("xllamacpp"):
        yield Finding("embedded engine", "ok", "llama.cpp")
    else:
        yield Finding(
            "embedded engine", "warning", "not installed", "pip install 'greffier[local]', if the workspace uses it."
        )


def _clock() -> Iterator[Finding]:
    source = time_source()
    if source == "synchronised":
        yield Finding("clock", "ok", "synchronised")
        return
    said = "not synchronised" if source == "unsynchronised" else "nobody can say whether it is synchronised"
    remedy = "Run an NTP client (chrony, systemd-timesyncd); or set in_force.unsynchronised_clock: mark."
    yield Finding("clock", "warning", f"{said}: a signed configuration refuses high risk", remedy)


def _workspace(root: Path, *, offline: bool) -> Iterator[Finding]:
    paths = WorkspacePaths(root)
    if not paths.settings.exists():
        yield Finding("workspace", "wrong", f"there is no {paths.settings}", "Make one: greffier init DIR")
        return
    try:
        snapshot = load_snapshot(paths)
    except ConfigError as error:
        yield Finding("workspace", "wrong", error.reason, error.remedy)
        return
    signed = f"signed by {snapshot.signed_by}" if snapshot.signed_by else "UNSIGNED, development mode"
    state: State = "ok" if snapshot.signed_by else "warning"
    yield Finding("workspace", state, f"{snapshot.revision[:16]}, {signed}")
    yield from _deployments(paths, snapshot)
    yield from _packs(snapshot)
    if not offline:
        for reached in asyncio.run(look_outside(paths, snapshot)):
            state = "wrong" if reached.problem else "ok"
            yield Finding(reached.what, state, reached.problem or "can be reached", reached.remedy)
    yield from _state(paths)
    yield from _gateway(paths)


def _deployments(paths: WorkspacePaths, snapshot: Snapshot) -> Iterator[Finding]:
    for name, settings in snapshot.deployment_settings.items():
        try:
            build_provider(name, settings, snapshot.deployments[name], paths.root, paths.run)  # connects to nothing yet
        except BadDeployment as error:
            yield Finding(
                f"deployment {name}", "wrong", error.reason.removeprefix(f"deployment '{name}': "), error.remedy
            )
        else:
            yield Finding(f"deployment {name}", "ok", f"{settings.provider}, {settings.location}")


def _packs(snapshot: Snapshot) -> Iterator[Finding]:
    for name, pack in snapshot.signature_packs.items():
        told = pack_warnings({name: pack}, SystemClock().wall_ms())
        if told:
            remedy = "Install a newer one: greffier guard pack install FILE; until then the old signatures are used."
            yield Finding(
                f"signature pack {name}", "warning", f"version {pack.version} expired on {pack.expires}", remedy
            )
        else:
            until = f", newer due after {pack.expires}" if pack.expires else ""
            yield Finding(f"signature pack {name}", "ok", f"version {pack.version} of {pack.issued}{until}")


def _state(paths: WorkspacePaths) -> Iterator[Finding]:
    if not paths.state.exists():
        yield Finding("state", "ok", "none yet; made at the first start")
        return
    if paths.state.stat().st_mode & _OTHERS:
        yield Finding("state", "wrong", f"{paths.state} is open to others", f"chmod 700 {paths.state}")
    if not os.access(paths.state, os.W_OK):
        yield Finding("state", "wrong", f"{paths.state} cannot be written", "Run as its owner.")
    free = shutil.disk_usage(paths.state).free
    if free < _LEAST_FREE_BYTES:
        yield Finding("disk", "warning", f"{free >> 20} MiB left for evidence", "Without space nothing is answered.")
    else:
        yield Finding("disk", "ok", f"{free >> 30} GiB free")
    if not _uses_database(paths) and not paths.journal_db.exists():
        yield Finding("journal", "ok", "none yet; made at the first start")
        return
    try:
        reader = open_reader(paths)
        yield Finding("journal", "ok", f"{reader.size()} events; 'greffier audit verify' checks them all")
        reader.close()
    except JournalUnavailable as error:
        remedy = "See 'greffier db status'." if _uses_database(paths) else "Restore it from the last backup."
        yield Finding("journal", "wrong", str(error), remedy)


def _uses_database(paths: WorkspacePaths) -> bool:
    try:
        return storage_in_force(paths).url is not None
    except ConfigError:  # told already, where the configuration was checked
        return False


def _gateway(paths: WorkspacePaths) -> Iterator[Finding]:
    address, pid = paths.run / "address", paths.run / "pid"
    if not address.exists() or not pid.exists():
        yield Finding("gateway", "ok", "not running")
        return
    try:
        os.kill(int(pid.read_text()), 0)
    except PermissionError:
        pass  # it runs, as somebody else
    except (OSError, ValueError):
        yield Finding("gateway", "warning", "it ended without a goodbye", "The next start tidies up.")
        return
    url = address.read_text().strip()
    try:
        health = _health(url)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"it does not answer at {url}: {type(error).__name__}"
        yield Finding("gateway", "wrong", reason, "Read its log; start it again if nothing else helps.")
        return
    yield Finding("gateway", "ok", f"running at {url}")
    for warning in health.get("warnings", ()):
        yield Finding("gateway", "warning", str(warning))
    for name, state in health.get("breakers", {}).items():
        if state != "closed":
            yield Finding(f"deployment {name}", "warning", f"rests after failures (breaker {state})", "See its server.")


def _health(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/healthz")
        health: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return health
