"""``greffier keys``: issue, list, rotate and revoke API keys.

Each act is recorded in the journal before it is carried out; running workers follow within a second.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from greffier.app.recording import record_act
from greffier.app.stores import open_keys
from greffier.audit.ports import JournalUnavailable
from greffier.cli.output import Exit, JsonOption, err, listing, out, print_json
from greffier.cli.remedies import Remedy, Wrong, explaining
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.identity.keys import IssuedKey, KeyRecord, PrincipalType, issue_key, issue_successor
from greffier.identity.ports import KeyConflict, KeyNotFound, KeyStoreUnavailable
from greffier.storage.keys import SqlKeyStore

app = typer.Typer(help="Issue, list, rotate and revoke API keys.", no_args_is_help=True)

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOST_MS = 3650 * _UNITS_MS["d"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")  # groups and roles as directories write them
_LABEL_LENGTH = 100

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
KeyId = Annotated[str, typer.Argument(help="Id of the key, as 'greffier keys list' shows it.", metavar="ID")]


@app.command()
def create(
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant on whose behalf the key acts.")],
    use_case: Annotated[str, typer.Option("--use-case", help="The use case it may call.")],
    workspace: WorkspaceOption = Path(),
    group: Annotated[list[str] | None, typer.Option("--group", help="Group for policy rules; repeatable.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="Role for policy rules; repeatable.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", help="NAME=VALUE for policy rules; repeatable.")
    ] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="Purpose; default is the use case's own.")] = None,
    principal_type: Annotated[str, typer.Option("--type", help="Holder: service, user or agent.")] = "service",
    expires: Annotated[str, typer.Option("--expires", help="Lifetime, such as 12h or 90d; at most 3650d.")] = "90d",
    label: Annotated[str, typer.Option("--label", help="What people call the key.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Issue a key and print it, this once."""
    with _explained(as_json):
        paths = _paths(workspace)
        own_purpose = _check_binding(paths, tenant, use_case)
        now = SystemClock().wall_ms()
        issued = issue_key(
            tenant=tenant,
            use_case=use_case,
            created_ms=now,
            expires_ms=now + _duration_ms(expires),
            principal_type=_principal_type(principal_type),
            groups=tuple(_name(value) for value in group or ()),
            roles=tuple(_name(value) for value in role or ()),
            purpose=None if purpose is None else _name(purpose),
            attributes=dict(_pair(value) for value in attribute or ()),
            label=_label(label),
        )
        details: dict[str, str | int | bool] = {
            "tenant": tenant,
            "use_case": use_case,
            "expires_ms": issued.record.expires_ms,
        }
        with _store(paths) as store:
            record_act(paths, "key.create", f"key:{issued.record.id}", details=details)
            store.create(issued.record)
    _show_issued(issued, as_json=as_json)
    if purpose not in {None, own_purpose}:
        err.print(
            f"warning: the use case's purpose is {own_purpose!r}; until it is {purpose!r}, requests with this key are "
            "refused with purpose_mismatch",
            markup=False,
        )


@app.command("list")
def list_keys(
    workspace: WorkspaceOption = Path(),
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's keys.")] = None,
    all_states: Annotated[bool, typer.Option("--all", help="Expired and revoked keys too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List keys; their secrets are not kept and cannot be shown."""
    with _explained(as_json):
        now = SystemClock().wall_ms()
        with _store(_paths(workspace)) as store:
            records = store.list(tenant)
        shown = [record for record in records if all_states or record.state(now) in {"active", "retiring"}]
    if as_json:
        print_json([_as_json(record, now) for record in shown])
        return
    table = listing("id", "state", "tenant", "use case", "expires", "label")
    for record in shown:
        table.add_row(
            record.id,
            record.state(now),
            record.tenant,
            record.use_case,
            _iso(record.expires_ms),
            escape(record.label),
        )
    out.print(table)


@app.command()
def rotate(
    key_id: KeyId,
    workspace: WorkspaceOption = Path(),
    overlap: Annotated[
        str, typer.Option("--overlap", help="How long the old key stays valid; 0s ends it now.")
    ] = "24h",
    expires: Annotated[str | None, typer.Option("--expires", help="Lifetime; default is the old key's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Issue a successor with the same rights; the old key stays valid for the overlap."""
    with _explained(as_json):
        paths = _paths(workspace)
        now = SystemClock().wall_ms()
        retire_ms = now + _duration_ms(overlap, least=0)
        with _store(paths) as store:
            old = store.get(key_id)
            lifetime_ms = old.expires_ms - old.created_ms if expires is None else _duration_ms(expires)
            issued = issue_successor(old, created_ms=now, expires_ms=now + lifetime_ms)
            record_act(
                paths,
                "key.rotate",
                f"key:{key_id}",
                details={"successor": issued.record.id, "old_expires_ms": min(old.expires_ms, retire_ms)},
            )
            old = store.rotate(key_id, issued.record, retire_ms)
    _show_issued(issued, as_json=as_json, replaces=old)


@app.command()
def revoke(
    key_id: KeyId,
    workspace: WorkspaceOption = Path(),
    reason: Annotated[str, typer.Option("--reason", help="Why; stands in the record.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Withdraw a key for good; every worker refuses it within a second."""
    with _explained(as_json):
        paths = _paths(workspace)
        now = SystemClock().wall_ms()
        with _store(paths) as store:
            store.get(key_id)
            record_act(paths, "key.revoke", f"key:{key_id}", reason=_label(reason))
            record = store.revoke(key_id, at_ms=now, reason=_label(reason))
    if as_json:
        print_json(_as_json(record, now))
        return
    out.print(f"revoked {record.id}", markup=False)
    if record.successor:
        out.print(f"its successor {record.successor} was not revoked", markup=False)


def _show_issued(issued: IssuedKey, *, as_json: bool, replaces: KeyRecord | None = None) -> None:
    record = issued.record
    if as_json:
        extra: dict[str, Any] = {"key": issued.key}
        if replaces is not None:
            extra["replaces"] = {"id": replaces.id, "expires": _iso(replaces.expires_ms)}
        print_json(_as_json(record, record.created_ms) | extra)
        return
    out.print(issued.key, markup=False)
    out.print(f"  id       {record.id}", markup=False)
    out.print(f"  for      {record.tenant} / {record.use_case}", markup=False)
    out.print(f"  expires  {_iso(record.expires_ms)}", markup=False)
    if replaces is not None:
        out.print(f"  replaces {replaces.id}, which stays valid until {_iso(replaces.expires_ms)}", markup=False)
    out.print("Keep the key now: only its hash is stored, so it cannot be shown again.", markup=False)


def _as_json(record: KeyRecord, now_ms: int) -> dict[str, Any]:
    return {
        "id": record.id,
        "state": record.state(now_ms),
        "tenant": record.tenant,
        "use_case": record.use_case,
        "type": record.principal_type,
        "groups": list(record.groups),
        "roles": list(record.roles),
        "purpose": record.purpose,
        "attributes": record.attributes,
        "label": record.label,
        "created": _iso(record.created_ms),
        "expires": _iso(record.expires_ms),
        "revoked": None if record.revoked_ms is None else _iso(record.revoked_ms),
        "revoked_reason": record.revoked_reason,
        "family": record.family,
        "successor": record.successor or None,
    }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _paths(workspace: Path) -> WorkspacePaths:
    paths = WorkspacePaths(workspace)
    if not paths.settings.is_file():
        raise Wrong(
            f"{workspace} is not a workspace: it has no greffier.yaml", "Create one with 'greffier init'.", Exit.CONFIG
        )
    paths.ensure()
    return paths


def _check_binding(paths: WorkspacePaths, tenant: str, use_case: str) -> str:
    """A key for a use case that nobody serves, or of another tenant, would only be refused later.

    Returns:
        The use case's purpose.
    """
    snapshot = load_snapshot(paths)
    if tenant not in snapshot.workspace.tenants:
        known = ", ".join(sorted(snapshot.workspace.tenants))
        raise Wrong(f"the workspace has no tenant {tenant!r}", f"Name one of: {known}.", Exit.CONFIG)
    settings = snapshot.use_cases.get(use_case)
    if settings is None or settings.tenant != tenant:
        known = ", ".join(sorted(name for name, other in snapshot.use_cases.items() if other.tenant == tenant))
        raise Wrong(
            f"the tenant {tenant!r} has no use case {use_case!r}",
            f"Name one of: {known}." if known else "Add one in use_cases/ and put it in force.",
            Exit.CONFIG,
        )
    return settings.purpose


@contextmanager
def _store(paths: WorkspacePaths) -> Iterator[SqlKeyStore]:
    store = open_keys(paths)
    try:
        yield store
    finally:
        store.close()


_explained = partial(
    explaining,
    remedies=(
        Remedy(KeyNotFound, "List the ids with 'greffier keys list --all'."),
        Remedy(KeyConflict, "Look at the key with 'greffier keys list --all'."),
        Remedy(KeyStoreUnavailable, "Check the file .greffier/state.db and its disk.", Exit.UNAVAILABLE),
        Remedy(
            JournalUnavailable,
            "Check the file .greffier/journal.db and its disk.",
            Exit.UNAVAILABLE,
            "nothing was done, because it could not be recorded: {}",
        ),
    ),
)


def _usage(message: str, remedy: str) -> Wrong:
    return Wrong(message, remedy, Exit.USAGE)


def _duration_ms(text: str, least: int = 1) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_MS or not (number.isascii() and number.isdigit()) or len(number) > 9:  # noqa: PLR2004 - a bound on int()
        raise _usage(f"{text!r} is not a duration", "Write a whole number and s, m, h or d, such as 90d.")
    value = int(number) * _UNITS_MS[unit]
    if not least <= value <= _MOST_MS:
        raise _usage(f"the duration {text} is out of range", "Keys live for at least a second and at most 3650 days.")
    return value


def _principal_type(text: str) -> PrincipalType:
    match text:
        case "service" | "user" | "agent":
            return text
    raise _usage(f"{text!r} is not a kind of holder", "Use service, user or agent.")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _usage(f"{text!r} cannot be a group, role or attribute", "Use letters, digits and . _ : / @ -")
    return text


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise _usage(f"{text!r} is not NAME=VALUE", "Write --attribute department=claims, for example.")
    return _name(name), _label(value)


def _label(text: str) -> str:
    if len(text) > _LABEL_LENGTH or not text.isprintable():
        raise _usage("a label, reason or value is too long or not printable", "Use at most 100 printable characters.")
    return text
