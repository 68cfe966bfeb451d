"""What can go wrong in the commands of data protection, said once, with remedies and exit codes."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from greffier.app.privacy_desk import references_of
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.cli.output import Exit
from greffier.cli.remedies import Remedy, Wrong, explaining
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import NotAllowed, NotFound, PrivacyUnavailable
from greffier.identity.ports import KeyStoreUnavailable

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Inside which tenant.")]
EndUserOption = Annotated[
    list[str] | None, typer.Option("--end-user", help="The person as callers name them; repeatable.")
]
PersonOption = Annotated[
    tuple[str, str] | None, typer.Option("--person", help="Issuer and subject of the person's access tokens.")
]
KeyOption = Annotated[list[str] | None, typer.Option("--key", help="Id of an API key the person holds; repeatable.")]
RefOption = Annotated[
    list[str] | None, typer.Option("--ref", help="Reference of the person as it stands in records; repeatable.")
]


_STORE = "Look at 'greffier db status', the keys in .greffier and their disk."

explained = partial(
    explaining,
    remedies=(
        Remedy(NotAllowed, "Do what the message says is missing, then repeat the command."),
        Remedy(NotFound, "Look at the list for its id."),
        Remedy(
            PrivacyUnavailable,
            "Look at 'greffier db status' and the disk of .greffier, then repeat the command.",
            Exit.UNAVAILABLE,
        ),
        Remedy(ContentUnavailable, _STORE, Exit.UNAVAILABLE),
        Remedy(KeyStoreUnavailable, _STORE, Exit.UNAVAILABLE),
        Remedy(
            JournalUnavailable,
            "Look at 'greffier db status' and the disk of .greffier; nothing happens unrecorded.",
            Exit.UNAVAILABLE,
        ),
        Remedy(OSError, "Check the file and its permissions.", Exit.UNAVAILABLE),
    ),
)
"""Turns what is raised inside into a message, a remedy and an exit code."""


def state_of(workspace: Path) -> WorkspacePaths:
    """The workspace's paths.

    Raises:
        Wrong: It has no state folder yet.
    """
    paths = WorkspacePaths(workspace)
    if not paths.state.is_dir():
        remedy = "Name the workspace with --workspace; a new one has state once it has served or issued a key."
        raise Wrong(f"{workspace} has no .greffier folder", remedy, Exit.CONFIG)
    return paths


def refs_of(
    paths: WorkspacePaths,
    tenant: str,
    *,
    end_user: list[str] | None,
    person: tuple[str, str] | None,
    key: list[str] | None,
    ref: list[str] | None,
) -> tuple[str, ...]:
    """References of a person, from the options of a command.

    Raises:
        Wrong: The options name nobody.
    """
    refs = references_of(
        paths, tenant, end_users=tuple(end_user or ()), person=person, keys=tuple(key or ()), refs=tuple(ref or ())
    )
    if not refs:
        raise Wrong("nobody is named", "Say who with --end-user, --person, --key or --ref.")
    return refs


def iso(ms: int) -> str:
    """A moment as people write it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment_ms(text: str) -> int:
    """A day or moment as people write it, in milliseconds since the epoch.

    Raises:
        Wrong: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Wrong(f"{text!r} is not a day or moment", "Write 2026-11-01 or 2026-11-01T08:00Z.") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
