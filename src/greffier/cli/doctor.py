"""``greffier doctor``: check the installation and say what is wrong."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from greffier.adapters.providers.local.weights import WeightsError, find_gguf
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.app.stores import open_reader
from greffier.audit.ports import JournalUnavailable
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.config.storage import storage_in_force
from greffier.storage.engine import sqlite_version

app = typer.Typer()

_LEAST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 1 << 30
_OTHERS = 0o077


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    remedy: str = ""


@app.command("doctor")
def doctor(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check the installation and the workspace; the exit code is 0 only if nothing is wrong."""
    findings = [*_installation(), *_workspace(workspace)]
    if as_json:
        print_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        colours = {"ok": "green", "warning": "yellow", "wrong": "red"}
        for finding in findings:
            out.print(f"[{colours[finding.state]}]{finding.state:8}[/] {finding.what}: {finding.detail}")
            if finding.remedy:
                out.print(f"         [bold]remedy:[/] {finding.remedy}")
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


def _workspace(root: Path) -> Iterator[Finding]:
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
    state: Literal["ok", "warning"] = "ok" if snapshot.signed_by else "warning"
    yield Finding("workspace", state, f"{snapshot.revision[:16]}, {signed}")
    yield from _deployments(paths, snapshot)
    yield from _state(paths)
    yield from _gateway(paths)


def _deployments(paths: WorkspacePaths, snapshot: Snapshot) -> Iterator[Finding]:
    for name, settings in snapshot.deployment_settings.items():
        try:
            if settings.base_url:
                resolve_value(settings.base_url)
            if settings.secret:
                resolve_secret(settings.secret, paths.root)
            if settings.provider == "local":
                find_gguf(settings.model, settings.model_path, paths.root)
        except (SecretMissing, WeightsError) as error:
            remedy = error.remedy if isinstance(error, WeightsError) else "Set it before the start."
            yield Finding(f"deployment {name}", "wrong", str(error), remedy)
        else:
            yield Finding(f"deployment {name}", "ok", f"{settings.provider}, {settings.location}")


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
    except (OSError, ValueError):
        yield Finding("gateway", "warning", "it ended without a goodbye", "The next start tidies up.")
    else:
        yield Finding("gateway", "ok", f"running at {address.read_text().strip()}")
