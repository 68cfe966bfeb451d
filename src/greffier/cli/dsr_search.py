"""Commands of ``greffier dsr`` about what belongs to a case: look for the person, confirm, except."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from greffier.app.recording import record_act
from greffier.audit.ports import ContentUnavailable
from greffier.cli.dsr_cases import RequestId, changing, show_case
from greffier.cli.explained import RefOption, WorkspaceOption, explained, iso
from greffier.cli.output import JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.governance.privacy.law import law
from greffier.governance.privacy.ports import NotAllowed


def search(
    request_id: RequestId,
    words: Annotated[list[str], typer.Option("--for", help="Name, address, alias of the person; repeatable.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Look for the person in all captured content of the tenant; candidates are listed, not shown.

    The words are used and forgotten. What the operator confirms with 'dsr confirm' belongs to the request.
    """
    with explained(as_json), changing(workspace, request_id) as (paths, office, request):
        needles = [word.casefold() for word in words if word.strip()]
        if not needles:
            raise Wrong("there is nothing to look for", "Say what with --for.")
        record_act(paths, "content.search", f"dsr:{request_id}", details={"words": len(needles)})
        found = []
        for part in office.content.of_tenant(request.tenant):
            try:
                text, _ = office.content.get(request.tenant, part.id)
            except ContentUnavailable:
                continue  # its key was destroyed: nobody can find anything in it
            shown = _decoded(text).casefold()
            if part.subject not in request.refs and any(needle in shown for needle in needles):
                found.append(part)
    if as_json:
        print_json([msgspec.to_builtins(part) for part in found])
        return
    for part in found:
        out.print(
            f"{part.id}  {part.name} of {part.event_id}, {iso(part.stored_ms)}, {part.subject or '-'}", markup=False
        )
    out.print(f"{len(found)} parts of others may be about the person", markup=False)


def confirm(
    request_id: RequestId,
    part: Annotated[list[str] | None, typer.Option("--part", help="Part that 'search' listed; repeatable.")] = None,
    ref: RefOption = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Confirm that parts or further references are about the person."""
    with explained(as_json):
        if not part and not ref:
            raise Wrong("there is nothing to confirm", "Name --part or --ref.")
        with changing(workspace, request_id) as (paths, office, was):
            if was.state == "running":
                raise NotAllowed("the request is under way; open another one")
            known = {found.id for found in office.content.parts(was.tenant, part or ())}
            unknown = sorted(set(part or ()) - known)
            if unknown:
                raise Wrong(f"there is no part {unknown[0]} of this tenant", "Take ids from 'dsr search'.")
            request = msgspec.structs.replace(
                was,
                refs=tuple(dict.fromkeys([*was.refs, *(ref or ())])),
                parts=tuple(dict.fromkeys([*was.parts, *(part or ())])),
            )
            details: dict[str, str | int | bool] = {"parts": len(request.parts), "refs": len(request.refs)}
            record_act(paths, "dsr.confirm", f"dsr:{request_id}", details=details)
            office.requests.save(request, was)
    show_case(request, as_json)


def except_(
    request_id: RequestId,
    *,
    ground: Annotated[str, typer.Option("--ground", help="Where it stands, such as '17(3)(e)'.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it applies here; the person is told.")],
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Request whose content is kept from erasure; repeatable.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Record an exception: something that is not done, on a ground the law knows, with its reason."""
    with explained(as_json), changing(workspace, request_id) as (paths, office, was):
        grounds = law().requests[was.type].exceptions
        if ground not in grounds:
            known = "; ".join(f"{name}: {text}" for name, text in grounds.items()) or "none"
            raise Wrong(f"{ground} is no exception to {law().requests[was.type].article}", f"Known: {known}")
        if was.state == "running":
            raise NotAllowed("the request is under way; it is too late for an exception")
        for name in keep or ():
            if not office.content.of_event(was.tenant, name):
                raise Wrong(f"there is no content of request {name}", "Take ids from the person's answer or records.")
        request = msgspec.structs.replace(
            was,
            exceptions=(*was.exceptions, f"{ground}: {reason}"),
            kept=tuple(dict.fromkeys([*was.kept, *(keep or ())])),
        )
        details: dict[str, str | int | bool] = {"ground": ground, "kept": len(request.kept)}
        record_act(paths, "dsr.except", f"dsr:{request_id}", reason=reason, details=details)
        office.requests.save(request, was)
    show_case(request, as_json)


def _decoded(text: bytes) -> str:
    """The words of a part: JSON escapes undone, so that what is searched is what was said."""
    shown = text.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(shown), ensure_ascii=False)
    except ValueError:
        return shown


COMMANDS: dict[str, Callable[..., None]] = {"search": search, "confirm": confirm, "except": except_}
"""Commands by name; ``greffier dsr`` takes them up."""
