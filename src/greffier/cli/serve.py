"""``greffier serve`` and ``greffier reload``: run the platform."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from greffier.adapters.secrets.references import SecretMissing
from greffier.adapters.signers.checkpoint_file import UnusableKey
from greffier.app.supervisor import ServeOptions, StartFailed, launch, supervise
from greffier.cli.output import Exit, err, fail, out
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.signing import SignerError
from greffier.config.snapshot import Snapshot
from greffier.telemetry.logs import configure_logs

app = typer.Typer()

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", help="Port; 0 takes a free one.", min=0, max=65535)]
WorkersOption = Annotated[int, typer.Option("--workers", help="Serving processes; one per core.", min=1, max=256)]


def load_or_fail(workspace: Path) -> Snapshot:
    """Load what is to be served, or say what is wrong with it and leave."""
    try:
        return load_snapshot(WorkspacePaths(workspace))
    except ConfigError as error:
        for problem in error.problems:
            err.print(f"{problem.file}:{problem.line}:{problem.column}: {problem.message}", markup=False)
        fail(str(error), error.remedy, code=Exit.CONFIG)


def announce_mode(snapshot: Snapshot) -> None:
    """Say loudly when nothing vouches for the configuration, or a screen goes on without its detectors."""
    if not snapshot.signed_by:
        err.print("[bold red]UNSAFE DEVELOPMENT MODE[/]: the configuration is not signed. Not for production.")
    for name, screen in snapshot.screens.items():
        if screen.on_unavailable == "flag":
            err.print(f"[bold yellow]warning:[/] screen {name} lets requests pass when a detector fails")


@app.command("serve")
def serve(
    workspace: WorkspaceOption = Path(),
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    workers: WorkersOption = 1,
) -> None:
    """Serve the gateway until SIGTERM; requests in flight are finished first. SIGHUP looks for new configuration."""
    snapshot = load_or_fail(workspace)
    telemetry = snapshot.workspace.telemetry
    configure_logs(telemetry.log_level, telemetry.log_format)
    announce_mode(snapshot)
    options = ServeOptions(workspace=workspace.resolve(), host=host, port=port, workers=workers)
    try:
        asyncio.run(supervise(options, snapshot, launch(options, snapshot)))
    except StartFailed as error:
        fail(str(error), error.remedy, code=Exit.UNAVAILABLE)
    except SignerError as error:
        fail(error.reason, error.remedy, code=Exit.UNAVAILABLE)
    except (SecretMissing, UnusableKey) as error:
        fail(str(error), "Without its key the log cannot be signed: correct it.", code=Exit.UNAVAILABLE)


@app.command("reload")
def reload(workspace: WorkspaceOption = Path()) -> None:
    """Make the running gateway look for new configuration now; /healthz says whether it was taken."""
    pid_file = WorkspacePaths(workspace).run / "pid"
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGHUP)
    except PermissionError:
        fail("the gateway runs as another user", "Run as that user.", code=Exit.UNAVAILABLE)
    except (OSError, ValueError):
        fail("no gateway is running for this workspace", "Start it: greffier serve", code=Exit.UNAVAILABLE)
    out.print(f"asked process {pid} to look for new configuration")
