"""``greffier docs``: documents for authorities, built from what runs and checked against it."""

import hashlib
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
import typer
from rich.markup import escape

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.recording import operator, record_act
from greffier.app.stores import open_reader
from greffier.audit.checkpoint import BadCheckpoint
from greffier.audit.ports import JournalUnavailable
from greffier.audit.proofs import newest
from greffier.audit.tiles import BadLog, TileStore
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.cli.remedies import Remedy, explaining
from greffier.config.files import read_documents
from greffier.config.kept import is_kept
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.governance.documents.build import UnknownDocument, build, check_scope, missing_texts, written_for
from greffier.governance.documents.check import check
from greffier.governance.documents.document import Document
from greffier.governance.documents.law import document_law
from greffier.governance.documents.render import NotADocument, read, to_html, to_json
from greffier.governance.documents.sources import Digests, Sources, Usage
from greffier.governance.documents.texts import WORKSPACE, BadText, skeleton, text_path
from greffier.governance.documents.usage import count

app = typer.Typer(help="Documents for authorities: build them from what runs, and check them.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="Which document: see 'greffier docs list'.")]
UseCaseOption = Annotated[str, typer.Option("--use-case", help="The use case it is about.")]
_DAY_MS = 86_400_000
_PDF = "greffier.adapters.documents.pdf"


class _NoPdf(Exception):  # noqa: N818 - named for the condition
    pass


@app.command("list")
def list_kinds(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List the documents, with their articles and sources; they are the same in every workspace."""
    del workspace
    law = document_law()
    if as_json:
        print_json(msgspec.to_builtins(law))
        return
    for name, kind in law.kinds.items():
        about = "use case" if kind.scope == "use_case" else "workspace"
        out.print(f"{name:<16} {kind.title}: {kind.article}; {about}; {kind.mark} {kind.verified_on}", markup=False)


@app.command("build")
def build_command(
    kind: KindArgument,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    use_case: UseCaseOption = "",
    format_: Annotated[Literal["json", "html", "pdf"], typer.Option("--format", help="How to write it.")] = "html",
    days: Annotated[int, typer.Option("--days", help="How far back to count in the log.", min=1)] = 90,
    font: Annotated[Path | None, typer.Option("--font", help="TrueType font for PDF.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Build a document. What is missing stands in it, and is listed."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        now = SystemClock().wall_ms()
        sources = _sources(paths, use_case, since_ms=now - days * _DAY_MS)
        document = build(document_law(), kind, sources, now)
        data = _rendered(document, format_, font)
        record_act(
            paths,
            "document.build",
            f"{kind}:{use_case or document.workspace}",
            details={"digest": document.digest, "file": hashlib.sha256(data).hexdigest(), "complete": document.settled},
        )
        output.write_bytes(data)
    gaps = [part for section in document.sections for part in section.parts if part.state in {"missing", "stale"}]
    if as_json:
        print_json(
            {
                "file": str(output),
                "digest": document.digest,
                "complete": document.settled,
                "sections": len(document.sections),
                "gaps": [{"id": part.id, "state": part.state, "reason": part.reason} for part in gaps],
            }
        )
        return
    out.print(f"{document.settled} of {len(document.sections)} sections complete; {output} written", markup=False)
    for part in gaps:
        out.print(f"  {part.id:<8} {part.state}: {part.reason}", markup=False)


@app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="A document, as JSON, HTML or PDF.")],
    font: Annotated[Path | None, typer.Option("--font", help="TrueType font that a PDF was built with.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check a document: nothing missing, and everything it describes is still what runs. Exit 1 otherwise."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        data = file.read_bytes()
        document = read(data)
        law = document_law()
        sources = _sources(paths, document.scope, since_ms=None)
        check_scope(law, document.kind, document.scope, sources)
        fresh = build(law, document.kind, sources, SystemClock().wall_ms())
        digests = Digests(sources.snapshot, sources.files, TileStore(paths.log))
        wrong = check(document, fresh, law, digests)
        if data.lstrip()[:1] == b"<" and to_html(document) != data:
            wrong.append("the page does not show the document it carries")
        if data.startswith(b"%PDF-") and _rendered(document, "pdf", font) != data:
            wrong.append("the pages are not what is printed here from the document that the PDF carries (see --font)")
        record_act(paths, "document.verify", document.digest, details={"ok": not wrong, "findings": len(wrong)})
    kept = is_kept(paths, document.revision)
    if as_json:
        found = {"ok": not wrong, "kind": document.kind, "digest": document.digest, "findings": wrong}
        print_json(found | {"configuration": {"revision": document.revision, "kept": kept}})
    else:
        for finding in wrong:
            out.print(f"[red]error[/] {escape(finding)}")
        if wrong and kept:
            out.print(f"it was built from: greffier config show --at {document.revision}", markup=False)
        sections = f"{document.settled} of {len(document.sections)} sections"
        out.print(f"[bold red]FAILED[/] {sections}" if wrong else f"[bold green]OK[/] {sections}")
    if wrong:
        raise typer.Exit(int(Exit.FAILED))


@app.command("draft")
def draft_command(
    kind: KindArgument,
    use_case: UseCaseOption = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write an empty text for everything a person has to judge and has not; existing files stay as they are."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        sources = _sources(paths, use_case, since_ms=None)
        written = []
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        for item in missing_texts(document_law(), kind, sources):
            path = paths.root / text_path(use_case, kind, item.id)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                text = skeleton(written_for(sources), operator(paths), today, item.title, item.article)
                path.write_text(text, encoding="utf-8")
                written.append(str(path.relative_to(paths.root)))
    if as_json:
        print_json({"written": written})
    else:
        for name in written:
            out.print(f"wrote {name}", markup=False)
        out.print(f"{len(written)} texts to write", markup=False)


# --- what documents are made from


def _sources(paths: WorkspacePaths, use_case: str, *, since_ms: int | None) -> Sources:
    snapshot = load_snapshot(paths)
    files, problems = read_documents(paths.root, use_case or WORKSPACE)
    if problems:
        raise BadText(f"{problems[0].file}: {problems[0].message}")
    usage = None if since_ms is None or not use_case else _usage(paths, use_case, since_ms)
    return Sources(snapshot=snapshot, scope=use_case, files=files, usage=usage)


def _usage(paths: WorkspacePaths, use_case: str, since_ms: int) -> Usage | None:
    sealed = newest(TileStore(paths.log), known_verifiers(paths))
    if sealed is None or not sealed.checkpoint.size:
        return None
    reader = open_reader(paths)
    try:
        return count(reader, sealed, use_case, since_ms)
    finally:
        reader.close()


def _rendered(document: Document, format_: str, font: Path | None) -> bytes:
    if format_ == "json":
        return to_json(document)
    if format_ == "html":
        return to_html(document)
    try:
        module = import_module(_PDF)
    except ImportError as error:
        raise _NoPdf("PDF needs the library fpdf2, which is not installed") from error
    try:
        return cast("bytes", module.to_pdf(document, font))
    except module.UnprintableText as error:
        raise _NoPdf(str(error)) from error


_explained = partial(
    explaining,
    remedies=(
        Remedy(UnknownDocument, "See 'greffier docs list'.", Exit.USAGE),
        Remedy(BadText, "Correct the file.", Exit.CONFIG),
        Remedy(NotADocument, "Name a file that 'greffier docs build' wrote."),
        Remedy(
            _NoPdf,
            "Install greffier[documents], name a font with --font, or print the HTML page from a browser.",
            Exit.UNAVAILABLE,
        ),
        Remedy((BadLog, BadCheckpoint), "Find out what is wrong with 'greffier audit verify'."),
        Remedy((JournalUnavailable, OSError), "Check the file and its permissions.", Exit.UNAVAILABLE),
    ),
)
