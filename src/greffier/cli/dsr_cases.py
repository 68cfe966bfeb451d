"""What the commands of ``greffier dsr`` have in common: taking a case up, and showing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from greffier.app.privacy_desk import Office, open_office
from greffier.cli.dsr_notices import row
from greffier.cli.explained import iso, state_of
from greffier.cli.output import Exit, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.law import law
from greffier.governance.privacy.records import SubjectRequest

RequestId = Annotated[str, typer.Argument(help="Id of the request.", metavar="ID")]


@contextmanager
def changing(workspace: Path, request_id: str) -> Iterator[tuple[WorkspacePaths, Office, SubjectRequest]]:
    """A request that may still be changed.

    Raises:
        Wrong: It is over.
    """
    paths = state_of(workspace)
    with open_office(paths) as office:
        request = office.requests.get(request_id)
        if request.state in {"done", "refused"}:
            raise Wrong(
                f"the request is {request.state}",
                "Open another: 'greffier dsr open'; a case is never changed.",
                Exit.FAILED,
            )
        yield paths, office, request


def timezone_of(snapshot: Snapshot) -> str:
    """Whose days and local times a case is told in."""
    return snapshot.workspace.controller.timezone if snapshot.workspace.controller else "UTC"


def show_case(request: SubjectRequest, as_json: bool) -> None:
    """Print a case: state, deadline, exceptions, steps, and what recipients were told."""
    if as_json:
        print_json(msgspec.to_builtins(request))
        return
    article = law().requests[request.type].article
    out.print(f"{request.id}  {request.type} ({article}), {request.state}", markup=False, style="bold")
    out.print(f"  received  {iso(request.received_ms)}, due {iso(request.due_ms)}", markup=False)
    if request.extended_reason:
        out.print(f"  extended  {request.extended_reason}", markup=False)
    out.print(f"  identity  {request.identity_check or 'not checked yet'}", markup=False)
    for reason in request.exceptions:
        out.print(f"  except    {reason}", markup=False)
    for step in request.steps:
        out.print(f"  done      {step.name}  {iso(step.at_ms)}", markup=False)
    for notice in request.notices:
        line = row(notice)
        out.print(f"  recipient {line['recipient']}: {line['stands']}", markup=False)
    if request.refused_reason:
        out.print(f"  refused   {request.refused_reason}", markup=False)
