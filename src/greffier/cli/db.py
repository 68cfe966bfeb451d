"""``greffier db``: where records are kept; bring it up to date, copy it, put a copy back, let old days go."""

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.adapters.secrets.references import SecretMissing
from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.reconciling import missing
from greffier.app.recording import record_act
from greffier.app.retention import forget_configurations
from greffier.app.stores import administration_of
from greffier.app.taking_over import take_over
from greffier.audit.ports import JournalUnavailable
from greffier.audit.proofs import newest
from greffier.audit.settings import AuditSettings
from greffier.audit.sinks import SinkUnavailable
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.verification import PRUNED
from greffier.cli.output import Exit, JsonOption, err, out, print_json
from greffier.cli.remedies import Remedy, Wrong, explaining
from greffier.config.paths import WorkspacePaths
from greffier.governance.incidents.ports import IncidentsUnavailable
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.guardrails.reviews import ReviewsUnavailable
from greffier.storage.administration import Administration, DatabaseUnavailable, SchemaMismatch
from greffier.storage.backup import BackupFailed, copy_database, copy_log, databases, put_back
from greffier.storage.stores import StoresUnavailable
from greffier.storage.taking_over import Taken

app = typer.Typer(help="Look after the stores: upgrade, status, backup, restore, prune.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
_DUMP = "database.dump"
_FLOOR_DAYS = 184  # AI Act Art. 19(1) and 26(6): logs are kept for at least six months


@app.command()
def upgrade(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Bring the database's schema to this version; running gateways go on. SQLite files need no command."""
    with _explained(as_json):
        paths = _paths(workspace)
        database = administration_of(paths)
        before = after = ""
        taken = Taken()
        if database is not None:
            before, after = database.upgrade()
            if before != after:
                record_act(paths, "db.upgrade", "database", details={"from": before, "to": after})
            if not _running(paths):  # or else the next start does it
                taken = take_over(paths)
    if as_json:
        print_json({"from": before, "to": after, "taken_over": msgspec.to_builtins(taken)})
    elif database is None:
        out.print("everything is in SQLite, which each start brings up to date")
    elif before == after:
        out.print(f"the schema is {after} already")
    else:
        out.print(f"upgraded from {before or 'nothing'} to {after}")
    if taken and not as_json:
        out.print(
            f"taken over from files: {taken.incidents} version(s) of incidents, {taken.reviews} review(s), "
            f"{taken.sinks} cursor(s) of sinks"
        )


@app.command()
def status(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say where records are kept, whether the schema fits, and what waits in spools."""
    with _explained(as_json):
        paths = _paths(workspace)
        database = administration_of(paths)
        found: dict[str, Any]
        if database is None:
            found = {
                "store": "sqlite",
                "files": {file.name: file.stat().st_size for file in sorted(paths.state.glob("*.db"))},
            }
        else:
            state = database.status()
            found = {"store": "postgresql"} | msgspec.to_builtins(state)
            found["spools"] = {file.name: file.stat().st_size for file in sorted(paths.spool.glob("*.spool"))}
    if as_json:
        print_json(found)
    else:
        for name, value in found.items():
            shown = value
            if isinstance(value, dict):
                shown = ", ".join(f"{file} ({size} bytes)" for file, size in value.items()) or "none"
            out.print(f"{name:20} {shown}", markup=False)
    if database is None:
        return
    if found["may_change_journal"]:
        err.print(
            f"warning: {found['user']}, as whom gateways connect, may change records; give storage.url a user of its "
            "own and the owner's address to storage.admin_url, then run 'greffier db upgrade'",
            markup=False,
        )
    if not found["protected"]:
        err.print("warning: the connection is not encrypted; add sslmode=verify-full to the address", markup=False)
    if not found["fsync"]:
        err.print("warning: the server does not wait for its disk (fsync is off): a crash loses records", markup=False)
    if found["revision"] != found["wanted"]:
        err.print("warning: gateways of this version will not start; run 'greffier db upgrade'", markup=False)
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist.")],
    keys: Annotated[
        Path | None,
        typer.Option("--content-keys", help="Copy the keys of captured content to this file, to be kept shorter."),
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Copy stores and log consistently while everything runs; secrets (.greffier/keys) are not part of it."""
    with _explained(as_json):
        paths = _paths(workspace)
        if folder.exists():
            raise Wrong(f"{folder} exists", "Name a folder that does not.", Exit.USAGE)
        if folder.resolve().is_relative_to(paths.state.resolve()):
            raise Wrong("a copy inside .greffier would be lost with it", "Name a folder elsewhere.", Exit.USAGE)
        record_act(paths, "db.backup", str(folder.resolve()), details={"content_keys": keys is not None})
        folder.mkdir(mode=0o700, parents=True)
        copy_log(paths, folder)
        database = administration_of(paths)
        if database is not None:
            database.dump(folder / _DUMP)
        for file in databases(paths):
            copy_database(file, folder / file.name)
        if keys is not None and database is not None:
            database.dump_keys(keys)
        elif keys is not None and paths.content_keys_db.exists():
            copy_database(paths.content_keys_db, keys)
        files = sorted(entry.name for entry in folder.iterdir())
    if as_json:
        print_json({"folder": str(folder), "files": files})
    else:
        out.print(f"copied {', '.join(files)} to {folder}", markup=False)


@app.command()
def restore(
    folder: Annotated[
        Path, typer.Argument(help="Folder that 'greffier db backup' made.", exists=True, file_okay=False)
    ],
    keys: Annotated[
        Path | None, typer.Option("--content-keys", help="The copy of the keys of captured content.", exists=True)
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Put a copy back while nothing runs; what stood there is kept aside. A database must be empty.

    The next start erases again what was erased since the copy was made.
    """
    with _explained(as_json):
        paths = _paths(workspace)
        _refuse_while_running(paths)
        database = administration_of(paths)
        if database is not None:
            _load(database, folder / _DUMP)
        aside = paths.replaced / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        names = put_back(paths, folder, aside)
        if keys is not None and database is not None:
            database.load_keys(keys)
        elif keys is not None:
            if paths.content_keys_db.exists():
                paths.content_keys_db.rename(aside / paths.content_keys_db.name)
            copy_database(keys, paths.content_keys_db)
        lacking = [act for one in missing(paths) for act in one.open]
        details: dict[str, str | int | bool] = {"files": len(names), "acts_missing": len(lacking)}
        record_act(paths, "db.restore", str(folder.resolve()), details=details)
    if as_json:
        print_json({"restored": names, "aside": str(aside), "acts_missing": len(lacking)})
    else:
        out.print(f"put back {', '.join(names)}; what stood there is in {aside}", markup=False)
        out.print("check it with 'greffier audit verify' before you serve from it")
        if lacking:
            err.print(
                f"warning: {len(lacking)} act(s) of people since then are on record and no longer in the stores; the "
                "gateway does not start before 'greffier restore missing' names none",
                markup=False,
            )


@app.command()
def prune(
    before: Annotated[datetime, typer.Option("--before", help="First day to keep.", formats=["%Y-%m-%d"])],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Drop whole days of the journal from the database; the log's files keep what verification needs."""
    with _explained(as_json):
        paths = _paths(workspace)
        database = administration_of(paths)
        if database is None:
            raise Wrong("SQLite's journal has no days to drop", "Only PostgreSQL's has.", Exit.USAGE)
        floor = datetime.now(UTC).date() - timedelta(days=_FLOOR_DAYS)
        day: date = before.date()
        if day > floor:
            raise Wrong("logs are kept for six months (AI Act Art. 19(1))", f"Name {floor} or earlier.", Exit.USAGE)
        plan = database.days_before(day)
        sealed = newest(TileStore(paths.log), known_verifiers(paths))
        if plan.days and (sealed is None or sealed.checkpoint.size < plan.first_seq - 1):
            raise Wrong(
                "these days are not sealed yet", "Start the gateway, or run 'greffier audit seal'.", Exit.FAILED
            )
        if plan.days:
            details: dict[str, str | int | bool] = {"before": str(day), "days": plan.days, "first_seq": plan.first_seq}
            record_act(paths, PRUNED, "journal", details=details)
            plan = database.drop_before(day)
            asyncio.run(forget_configurations(paths, AuditSettings()))
    if as_json:
        print_json({"days": plan.days, "first_seq": plan.first_seq})
    else:
        out.print(f"{plan.days} day(s) dropped; the journal begins with event {plan.first_seq}", markup=False)


def _load(database: Administration, dump: Path) -> None:
    if not dump.is_file():
        raise Wrong(f"{dump} is missing", "Name a folder that was made with the same kind of store.", Exit.USAGE)
    database.load(dump)
    database.upgrade()  # gives the gateway's user its rights, which a copy does not hold


def _running(paths: WorkspacePaths) -> bool:
    try:
        os.kill(int((paths.run / "pid").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _refuse_while_running(paths: WorkspacePaths) -> None:
    if _running(paths):
        raise Wrong("the gateway is running", "Stop it first: restoring under it would mix two histories.", Exit.FAILED)


def _paths(workspace: Path) -> WorkspacePaths:
    paths = WorkspacePaths(workspace)
    if not paths.settings.is_file():
        raise Wrong(
            f"{workspace} is not a workspace: it has no greffier.yaml", "Create one with 'greffier init'.", Exit.CONFIG
        )
    paths.ensure()
    return paths


_explained = partial(
    explaining,
    remedies=(
        Remedy(SecretMissing, "Set it as storage.url or storage.admin_url in greffier.yaml says.", Exit.CONFIG),
        Remedy(SchemaMismatch, "Use the version of Greffier that upgraded it."),
        Remedy(
            (
                DatabaseUnavailable,
                StoresUnavailable,
                IncidentsUnavailable,
                ReviewsUnavailable,
                SinkUnavailable,
                PrivacyUnavailable,
            ),
            "Check storage.url and storage.admin_url, and the server.",
            Exit.UNAVAILABLE,
        ),
        Remedy(BadLog, "Run 'greffier audit verify'; nothing was dropped."),
        Remedy(JournalUnavailable, "See 'greffier db status'.", Exit.UNAVAILABLE, "it could not be recorded: {}"),
        Remedy((BackupFailed, OSError), "Check the folder, its disk and its permissions.", Exit.UNAVAILABLE),
    ),
)
