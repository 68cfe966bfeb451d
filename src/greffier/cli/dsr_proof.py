"""Commands of ``greffier dsr`` about what was done: ask every store again, and hold the certificate against the log."""

import json
from collections.abc import Callable
from pathlib import Path

import typer

from greffier.app.privacy_desk import open_office
from greffier.app.recording import record_act
from greffier.app.stores import open_reader
from greffier.cli import dsr_notices
from greffier.cli.dsr_cases import RequestId
from greffier.cli.explained import WorkspaceOption, explained, state_of
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.paths import WorkspacePaths
from greffier.core.events import Act, parse
from greffier.governance.privacy.handling import digest, person_of
from greffier.governance.privacy.ports import NotAllowed


def check(request_id: RequestId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Ask every store for the person again, without changing anything; fail if a store that deletes has something."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            request = office.requests.get(request_id)
            if not request.refs:
                raise Wrong(
                    "the request no longer knows the person",
                    "Open a new request that names the person, and check that one.",
                    Exit.FAILED,
                )
            record_act(paths, "dsr.check", f"dsr:{request_id}")
            found = [
                {"store": store.name, "found": store.find(person_of(request)), "retains": store.retains}
                for store in office.stores()
            ]
    if as_json:
        print_json(found)
    else:
        for line in found:
            out.print(f"{line['found']:>6}  {line['store']}  {line['retains']}", markup=False)
    if any(line["found"] and not line["retains"] for line in found):
        raise typer.Exit(int(Exit.FAILED))


def certificate(request_id: RequestId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Print the certificate or confirmation, and whether the log holds its digest."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            request = office.requests.get(request_id)
        if not request.outcome:
            raise NotAllowed("the request is not done yet")
        logged = digest(request.outcome) in _logged_digests(paths, request_id)
        shown = request.outcome | {"digest": digest(request.outcome), "in_log": logged}
        if request.notices:  # beside the certificate's own words: what became of them since it was written
            shown["notices"] = [dsr_notices.row(notice) for notice in request.notices]
    if as_json:
        print_json(shown)
    else:
        out.print(json.dumps(shown, ensure_ascii=False, indent=2), markup=False)
    if not logged:
        raise typer.Exit(int(Exit.FAILED))


def _logged_digests(paths: WorkspacePaths, request_id: str) -> set[str]:
    reader = open_reader(paths)
    target = f"dsr:{request_id}"
    try:
        found = set()
        for row in reader.scan():
            if target.encode() in row.data:
                event = parse(row.data)
                if isinstance(event, Act) and event.target == target and "digest" in event.details:
                    found.add(str(event.details["digest"]))
        return found
    finally:
        reader.close()


COMMANDS: dict[str, Callable[..., None]] = {"check": check, "certificate": certificate}
"""Commands by name; ``greffier dsr`` takes them up."""
