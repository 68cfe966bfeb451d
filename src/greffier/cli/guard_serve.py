"""``greffier guard serve``: the guardrails as a service of their own."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from greffier.adapters.secrets.references import SecretMissing, resolve_secret
from greffier.app.guard_service import CannotListen, GuardServeOptions, serve_guard
from greffier.cli.output import Exit, fail, out
from greffier.cli.serve import announce_mode, load_or_fail
from greffier.core.errors import GreffierError
from greffier.telemetry.logs import configure_logs


def serve_command(
    *,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", help="Folder of the service's own workspace.")
    ] = Path(),
    socket: Annotated[Path | None, typer.Option("--socket", help="Unix socket to listen on; mode 0600.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="TCP port; 0 takes a free one.", min=0, max=65535)] = None,
    host: Annotated[str, typer.Option("--host", help="Address, with --port.")] = "127.0.0.1",
    token: Annotated[str, typer.Option("--token", help="What callers must present: env:NAME or file:PATH.")] = "",
) -> None:
    """Serve the engine to gateways until SIGTERM. SIGHUP or a change of the workspace puts a new bundle in force."""
    if (socket is None) == (port is None):
        fail("say where to listen", "Give either --socket PATH or --port N.", code=Exit.USAGE)
    snapshot = load_or_fail(workspace)
    telemetry = snapshot.workspace.telemetry
    configure_logs(telemetry.log_level, telemetry.log_format)
    announce_mode(snapshot)
    try:
        secret = resolve_secret(token, workspace) if token else ""
        options = GuardServeOptions(workspace.resolve(), socket, host, port or 0, secret)
        asyncio.run(serve_guard(options, snapshot, _started))
    except (CannotListen, SecretMissing) as error:
        fail(str(error), code=Exit.UNAVAILABLE)
    except GreffierError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG)


def _started(address: str) -> None:
    out.print(f"guard service on {address}, process {os.getpid()}", markup=False)
    out.file.flush()
