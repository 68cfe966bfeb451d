"""Documents built from a running workspace: golden, complete when everything is said, stale when anything changes."""

import asyncio
import json
import re
import zlib
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from greffier.adapters.documents.pdf import to_pdf
from greffier.app.sealing import make_sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.cli.docs import app
from greffier.config.files import read_documents
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act, parse
from greffier.governance.documents.build import build
from greffier.governance.documents.document import Document
from greffier.governance.documents.facts import FACTS
from greffier.governance.documents.law import document_law
from greffier.governance.documents.render import read, to_html, to_json
from greffier.governance.documents.sources import Digests, Sources
from greffier.governance.documents.texts import WORKSPACE
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.contracts.journal import make_admission, make_outcome

GOLDEN = Path(__file__).parent / "golden"
LAW = document_law()
NOW = 1_800_000_000_000
FILES = {
    "greffier.yaml": """
schema: 1
name: bank
unsafe_development_mode: true
tenants:
  acme: {title: Acme Bank, contact: privacy@acme.example}
controller:
  name: Acme Bank SA
  contact: privacy@acme.example
  dpo: Dora Pöhl
  supervisory_authority: CNPD
  security: ISO 27001 measures.
retention:
  - {id: chats, days: 14, purpose: credit, reason: The decision is kept elsewhere.}
""",
    "use_cases/credit.yaml": """
id: credit
title: Credit assistant <b>
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: credit
intended_purpose: Explains credit decisions to staff.
lawful_basis: {article_6: "6(1)(b)"}
risk_class: high
aia_role: deployer
data_classes: [public, internal, personal]
models: [assistant]
regions: [eu]
prompt: credit
screen: credit
capture_content: true
data_subjects: [customers, guarantors]
recipients: [the credit department]
transfers: [none]
retention_criteria: Until the appeal period ends.
decision_effect: assist
decision_logic: It explains; a clerk decides.
limits: {requests_per_minute: 60}
""",
    "prompts/credit.md": "---\nversion: 3\ntitle: Credit\nowner: olga@acme.example\n---\nExplain politely.\n",
    "guardrails/screens.yaml": """
screens:
  credit:
    detectors: [secrets]
    input:
      - {id: no-secrets, types: [SECRET], then: redact}
      - {id: ask-someone, types: [prompt_injection], then: escalate}
""",
    "policies/access.yaml": """
rules:
  - id: clerks
    description: Clerks may ask.
    effect: allow
    when: {use_cases: [credit]}
    obligations: {human_approval: true}
""",
    "models/models.yaml": """
deployments:
  cloud:
    provider: openai
    model: gpt-x
    location: external
    region: eu
    base_url: https://models.example/v1
    secret: env:MODEL_KEY
    data_classes: [public, internal, personal]
    price: {input_per_million: "1", output_per_million: "2"}
models:
  assistant: {targets: [{deployment: cloud}]}
""",
}
SCOPES = {name: "credit" if kind.scope == "use_case" else "" for name, kind in LAW.kinds.items()}


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return WorkspacePaths(tmp_path)


def sources(paths: WorkspacePaths, scope: str) -> Sources:
    files, problems = read_documents(paths.root, scope or WORKSPACE)
    assert not problems
    return Sources(snapshot=load_snapshot(paths), scope=scope, files=files)


def built(paths: WorkspacePaths, kind: str) -> Document:
    return build(LAW, kind, sources(paths, SCOPES[kind]), NOW)


def run(paths: WorkspacePaths, *arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(paths.root)])
    assert done.exit_code == status, done.output
    return done


def scope_options(kind: str) -> list[str]:
    return ["--use-case", "credit"] if SCOPES[kind] else []


def fill(paths: WorkspacePaths, kind: str) -> None:
    """Let a person judge everything."""
    run(paths, "draft", kind, *scope_options(kind))
    for path in (paths.root / "documents").rglob(f"{kind}.*.md"):
        path.write_text(path.read_text().replace("TODO:", "We judged:"))
    if kind == "annex-iv":
        attach(paths, "report.txt", "signed-declaration.txt")


def attach(paths: WorkspacePaths, *names: str) -> None:
    folder = paths.root / "documents/credit/evidence"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("signed")


def build_file(paths: WorkspacePaths, kind: str, format_: str = "json") -> Path:
    file = paths.root / f"out.{format_}"
    run(paths, "build", kind, *scope_options(kind), "--format", format_, "-o", str(file))
    return file


def findings(paths: WorkspacePaths, file: Path) -> list[str]:
    done = CliRunner().invoke(app, ["verify", str(file), "--json", "--workspace", str(paths.root)])
    report = json.loads(done.stdout)
    assert done.exit_code == (0 if report["ok"] else 1)
    found: list[str] = report["findings"]
    return found


@pytest.mark.parametrize("kind", list(LAW.kinds))
def test_each_document_says_what_it_said(paths: WorkspacePaths, kind: str) -> None:
    text = re.sub(r"\b[0-9a-f]{64}\b", "<digest>", to_json(built(paths, kind)).decode())
    text = re.sub(r"Greffier [0-9][0-9a-z.]*", "Greffier <version>", text)
    golden = GOLDEN / f"{kind}.json"
    if not golden.exists():  # remove a file to write it anew, and read the difference
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden.name} was written; look at it and commit it")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "sections"),
    [("ropa", 7), ("ropa-processor", 4), ("annex-iv", 9), ("instructions", 6), ("retention", 4), ("vendors", 4)],
)
def test_the_law_counts_its_sections(kind: str, sections: int) -> None:
    assert len(LAW.kinds[kind].sections) == sections


def test_the_impact_assessment_has_the_items_of_both_laws() -> None:
    articles = [item.article for item in LAW.kinds["dpia"].items()]
    assert [one for one in articles if "35(7)" in one] == [f"GDPR Art. 35(7)({letter})" for letter in "abcd"]
    assert "AI Act Art. 27(3)" in articles
    assert [one for one in articles if "27(1)" in one] == [f"AI Act Art. 27(1)({letter})" for letter in "abcdef"]


def test_the_data_name_only_facts_that_exist() -> None:
    for kind in LAW.kinds.values():
        ids = [item.id for item in kind.items()]
        assert len(ids) == len(set(ids))
        for item in kind.items():
            assert set(item.live) <= set(FACTS)
            assert item.live or item.text == "required", "nobody would say anything"


@pytest.mark.parametrize("kind", list(LAW.kinds))
@pytest.mark.parametrize("format_", ["json", "html", "pdf"])
def test_a_document_is_whole_once_people_judged(paths: WorkspacePaths, kind: str, format_: str) -> None:
    fill(paths, kind)
    file = build_file(paths, kind, format_)
    assert findings(paths, file) == []
    assert read(file.read_bytes()).settled == len(LAW.kinds[kind].sections)


def says(paths: WorkspacePaths, kind: str, item: str) -> tuple[str, str]:
    """State and words of an item."""
    for section in built(paths, kind).sections:
        for part in section.parts:
            if part.id == item:
                return part.state, " ".join(statement.says for statement in part.statements)
    raise AssertionError(item)


def change(paths: WorkspacePaths, file: str, before: str, after: str) -> None:
    path = paths.root / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_recipients_are_named_as_the_register_names_them(paths: WorkspacePaths) -> None:
    change(paths, "use_cases/credit.yaml", "[the credit department]", "[bureau]")
    register = (
        "recipients:\n  bureau: {name: Credit Bureau GmbH}\n  ai: {name: Model Maker Inc., deployments: [cloud]}\n"
    )
    (paths.root / "greffier.yaml").write_text((paths.root / "greffier.yaml").read_text() + register)
    assert says(paths, "ropa", "d")[1].endswith("Credit Bureau GmbH; Model Maker Inc. (cloud, eu)")
    assert says(paths, "vendors", "services")[1].startswith("Model Maker Inc. (cloud): model gpt-x")


def test_a_transfer_that_nobody_explains_is_missing(paths: WorkspacePaths) -> None:
    change(paths, "use_cases/credit.yaml", "regions: [eu]", "regions: [eu, us]")
    change(paths, "use_cases/credit.yaml", "transfers: [none]\n", "")
    assert says(paths, "ropa", "e")[0] == "complete"  # the only model server is in the union
    change(paths, "models/models.yaml", "region: eu", "region: us")
    assert says(paths, "ropa", "e") == ("missing", "")
    assert says(paths, "ropa-processor", "c") == ("missing", "")
    case = paths.root / "use_cases/credit.yaml"
    case.write_text(case.read_text() + "transfers: ['United States: standard contractual clauses']\n")
    state, words = says(paths, "ropa", "e")
    assert state == "complete"
    assert "United States: standard contractual clauses" in words
    assert "cloud in us" in words


def test_a_server_that_is_not_allowed_for_the_use_case_receives_nothing(paths: WorkspacePaths) -> None:
    change(paths, "models/models.yaml", "models:\n", f"{US_SERVER}models:\n")
    change(
        paths,
        "models/models.yaml",
        "targets: [{deployment: cloud}]",
        "targets: [{deployment: cloud}, {deployment: far}]",
    )
    assert "far" not in says(paths, "ropa", "d")[1]
    assert says(paths, "ropa", "e")[0] == "complete"


US_SERVER = """  far:
    provider: openai
    model: gpt-x
    location: external
    region: us
    base_url: https://far.example/v1
    secret: env:MODEL_KEY
    data_classes: [public, internal, personal]
    price: {input_per_million: "1", output_per_million: "2"}
"""


def test_the_record_of_a_processor_names_each_controller_with_contact(paths: WorkspacePaths) -> None:
    assert says(paths, "ropa-processor", "a")[0] == "complete"
    assert "for Acme Bank, credit:" in says(paths, "ropa-processor", "b")[1]
    change(paths, "greffier.yaml", "tenants:\n", "tenants:\n  other: {title: Other Ltd}\n")
    assert says(paths, "ropa-processor", "a")[0] == "missing"


def test_technical_documentation_names_who_provides_the_system(paths: WorkspacePaths) -> None:
    assert says(paths, "annex-iv", "1a")[1].startswith("Deployer, not provider: Acme Bank SA, privacy@acme.example")
    change(paths, "use_cases/credit.yaml", "aia_role: deployer", "aia_role: provider")
    assert says(paths, "annex-iv", "1a")[1].startswith("Provider: Acme Bank SA")


def test_readers_see_no_names_of_ours(paths: WorkspacePaths) -> None:
    for kind in LAW.kinds:
        page = to_html(built(paths, kind)).decode().partition("<script")[0]
        assert not re.search(r"<h2>(services|contracts|fria|content|advice)", page)
        assert "(retention." not in page


@pytest.mark.parametrize(
    ("file", "before", "after", "finding"),
    [
        ("use_cases/credit.yaml", "Explains credit", "Decides credit", "use_case:credit has changed"),
        ("prompts/credit.md", "politely", "rudely", "prompt:credit has changed"),
        ("models/models.yaml", "gpt-x", "gpt-y", "deployment:cloud has changed"),
        ("policies/access.yaml", "Clerks", "All", "rules:all has changed"),
        ("documents/credit/annex-iv.5.md", "We judged", "We think", "annex-iv.5.md has changed"),
        ("documents/credit/evidence/test.json", "15", "16", "test.json has changed"),
    ],
)
def test_a_change_makes_the_document_stale(
    paths: WorkspacePaths, file: str, before: str, after: str, finding: str
) -> None:
    evidence = paths.root / "documents/credit/evidence/test.json"
    evidence.parent.mkdir(parents=True, exist_ok=True)
    evidence.write_text('{"passed": 15, "failed": 0, "known_gaps": 1}')
    fill(paths, "annex-iv")
    document = build_file(paths, "annex-iv")
    assert "guardrail tests, 15 passed, 0 failed, 1 known gaps" in document.read_text()
    assert findings(paths, document) == []
    changed = paths.root / file
    changed.write_text(changed.read_text().replace(before, after))
    assert any(finding in one for one in findings(paths, document))


def test_texts_written_for_other_settings_are_read_again(paths: WorkspacePaths) -> None:
    fill(paths, "instructions")
    case = paths.root / "use_cases/credit.yaml"
    case.write_text(case.read_text().replace("requests_per_minute: 60", "requests_per_minute: 90"))
    document = read(build_file(paths, "instructions").read_bytes())
    assert {part.state for section in document.sections for part in section.parts} == {"stale", "complete"}
    assert findings(paths, paths.root / "out.json")


def test_words_about_a_report_are_not_the_report(paths: WorkspacePaths) -> None:
    fill(paths, "annex-iv")
    folder = paths.root / "documents/credit/evidence"
    (folder / "signed-declaration.txt").unlink()
    (found,) = findings(paths, build_file(paths, "annex-iv"))
    assert found.startswith("8: missing: attach it in documents/credit/evidence/ as a file named like '*declaration*'")
    (folder / "report.txt").unlink()
    assert [one.partition(":")[0] for one in findings(paths, build_file(paths, "annex-iv"))] == ["2g", "8"]


def test_what_does_not_apply_needs_a_reason(paths: WorkspacePaths) -> None:
    fill(paths, "annex-iv")
    text = paths.root / "documents/credit/annex-iv.1f.md"
    head = text.read_text().partition("\n---\n")[0]
    text.write_text(f"{head}\nnot_applicable: true\n---\nThe system is no component of a product.\n")
    assert findings(paths, build_file(paths, "annex-iv")) == []
    assert "is no component of a product" in (paths.root / "out.json").read_text()
    text.write_text(f"{head}\nnot_applicable: true\n---\n\n")
    assert any("1f: missing" in one for one in findings(paths, build_file(paths, "annex-iv")))


# --- forgeries


def test_an_altered_document_is_found(paths: WorkspacePaths) -> None:
    file = build_file(paths, "vendors")
    file.write_text(file.read_text().replace("region eu", "region us"))
    assert findings(paths, file) == ["the document was altered after it was built"]


def test_a_document_that_was_made_up_is_found(paths: WorkspacePaths) -> None:
    fill(paths, "vendors")
    document = read(build_file(paths, "vendors").read_bytes())
    said = document.sections[1].parts[0].statements[0]
    for forged in (msgspec.structs.replace(said, says="cloud: region mars"), None):
        statements = () if forged is None else (forged,)
        part = msgspec.structs.replace(document.sections[1].parts[0], statements=statements)
        section = msgspec.structs.replace(document.sections[1], parts=(part,))
        sections = (document.sections[0], section, *document.sections[2:])
        fake = msgspec.structs.replace(document, sections=sections)
        fake = msgspec.structs.replace(fake, digest=fake.computed_digest())
        (paths.root / "fake.json").write_bytes(to_json(fake))
        assert findings(paths, paths.root / "fake.json")
    fewer = msgspec.structs.replace(document, sections=document.sections[:-1])
    fewer = msgspec.structs.replace(fewer, digest=fewer.computed_digest())
    (paths.root / "fake.json").write_bytes(to_json(fewer))
    assert findings(paths, paths.root / "fake.json") == ["exit: the section is missing (DORA Art. 28(8))"]


def test_a_page_that_shows_something_else_than_it_carries_is_found(paths: WorkspacePaths) -> None:
    fill(paths, "vendors")
    page = build_file(paths, "vendors", "html")
    assert findings(paths, page) == []
    page.write_text(page.read_text().replace("<li>cloud: region eu", "<li>cloud: region us"))
    assert findings(paths, page) == ["the page does not show the document it carries"]


def test_a_pdf_that_shows_something_else_than_it_carries_is_found(paths: WorkspacePaths) -> None:
    fill(paths, "vendors")
    file = build_file(paths, "vendors", "pdf")
    carried = read(file.read_bytes())
    part = carried.sections[1].parts[0]
    said = msgspec.structs.replace(part.statements[0], says="cloud: region us")
    forged = msgspec.structs.replace(part, statements=(said,))
    sections = (carried.sections[0], msgspec.structs.replace(carried.sections[1], parts=(forged,)))
    shown = to_pdf(msgspec.structs.replace(carried, sections=(*sections, *carried.sections[2:])), None)
    attached = re.compile(rb"(?<=stream\n)[^\n]*?.*?(?=\nendstream)", re.DOTALL)
    streams = [
        match.group() for match in attached.finditer(file.read_bytes()) if b"greffier.document" in inflated(match)
    ]
    others = [match.group() for match in attached.finditer(shown) if b"greffier.document" in inflated(match)]
    assert (len(streams), len(others)) == (1, 1)
    file.write_bytes(shown.replace(others[0], streams[0]))
    assert read(file.read_bytes()) == carried
    assert ["the pages are not what" in one for one in findings(paths, file)] == [True]


def inflated(match: re.Match[bytes]) -> bytes:
    try:
        return zlib.decompress(match.group())
    except zlib.error:
        return match.group()


def test_a_page_says_words_and_no_markup_of_others(paths: WorkspacePaths) -> None:
    page = to_html(built(paths, "annex-iv"))
    assert b"Credit assistant &lt;b&gt;" in page
    assert b"Credit assistant <b>" not in page
    assert read(page) == built(paths, "annex-iv")


@pytest.mark.parametrize("data", [b"", b"{}", b"<html></html>", b"[1]", b"\xff", b"%PDF-1.7\nstream\nx\nendstream"])
def test_what_is_no_document_is_refused(paths: WorkspacePaths, data: bytes) -> None:
    (paths.root / "x").write_bytes(data)
    assert "error" in run(paths, "verify", str(paths.root / "x"), status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["build", "nothing", "-o", "x"], 2),
        (["build", "annex-iv", "-o", "x"], 2),
        (["build", "annex-iv", "--use-case", "../../etc", "-o", "x"], 2),
        (["build", "ropa", "--use-case", "credit", "-o", "x"], 2),
    ],
)
def test_documents_that_do_not_exist(paths: WorkspacePaths, arguments: list[str], status: int) -> None:
    assert run(paths, *arguments, status=status).stderr
    assert not Path("x").exists()


@pytest.mark.parametrize("text", ["no front matter", "---\nwritten_for: a\n---\nx", "---\nby: [\n---\nx", "---\nx: 1"])
def test_a_text_that_cannot_be_read_is_named(paths: WorkspacePaths, text: str) -> None:
    file = paths.root / "documents/_workspace/vendors.exit.md"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    done = run(paths, "build", "vendors", "-o", str(paths.root / "o"), status=3)
    assert "vendors.exit.md" in done.stderr


def test_a_link_out_of_the_workspace_is_not_followed(
    paths: WorkspacePaths, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret"
    secret.write_text("secret")
    folder = paths.root / "documents/credit/evidence"
    folder.mkdir(parents=True)
    (folder / "report.txt").symlink_to(secret)
    run(paths, "build", "annex-iv", "--use-case", "credit", "-o", str(paths.root / "o"), status=3)


# --- what the log says


async def serve_some(paths: WorkspacePaths) -> None:
    paths.ensure()
    journal = open_journal(paths, AuditSettings())
    now = SystemClock().wall_ms()
    for number in range(3):
        admission = make_admission(f"req_{number}", ts=now)
        facts = msgspec.structs.replace(admission.facts, use_case="credit")
        await journal.append(msgspec.structs.replace(admission, facts=facts))
        await journal.append(make_outcome(f"req_{number}", ts=now))
    await journal.append(make_outcome("req_of_another_use_case", ts=now))
    await journal.close()


def test_usage_comes_from_the_sealed_log(paths: WorkspacePaths) -> None:
    asyncio.run(serve_some(paths))
    sealer = make_sealer(paths, AuditSettings())
    sealer.seal_once()
    sealer.close()
    fill(paths, "annex-iv")
    file = build_file(paths, "annex-iv")
    counted = [
        one
        for section in read(file.read_bytes()).sections
        for part in section.parts
        for one in part.statements
        if one.about.startswith("log:")
    ]
    assert counted
    assert "3 answered, 0 refused" in counted[0].says
    assert findings(paths, file) == []
    digests = Digests(load_snapshot(paths), {}, TileStore(paths.log))
    assert digests.of("log:99") is None
    assert digests.of("log:x") is None
    assert digests.of("nothing:x") is None


def test_building_and_checking_are_on_record(paths: WorkspacePaths) -> None:
    file = build_file(paths, "vendors")
    findings(paths, file)
    reader = open_reader(paths)
    acts = [event for event in (parse(row.data) for row in reader.scan()) if isinstance(event, Act)]
    reader.close()
    assert [act.action for act in acts] == ["document.build", "document.verify"]
    assert acts[0].details["digest"] == read(file.read_bytes()).digest


def test_pdf_is_readable_and_carries_the_document(paths: WorkspacePaths) -> None:
    data = build_file(paths, "dpia", "pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"document.json" in data
    bad = paths.root / "bad.ttf"
    bad.write_text("no font")
    done = run(paths, "build", "vendors", "--format", "pdf", "--font", str(bad), "-o", str(paths.root / "o"), status=4)
    assert "font" in done.stderr
