"""Every kind of mistake is named with file, line, column and a remedy, and several are named at once."""

from pathlib import Path

import pytest

from greffier.config.bundle import build, check_workspace
from greffier.config.demo import write_demo
from greffier.config.problems import ConfigError, Problem

Place = tuple[str, str, int, int]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)


def edit(root: Path, name: str, old: str, new: str) -> tuple[int, int]:
    """Replace a text once; return line and column of its place."""
    text = (root / name).read_text()
    assert text.count(old) == 1, old
    start = text.index(old)
    (root / name).write_text(text.replace(old, new))
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def places(problems: tuple[Problem, ...]) -> list[Place]:
    return [(p.code, p.file, p.line, p.column) for p in problems]


def test_the_demo_has_no_mistake(demo: Path) -> None:
    assert check_workspace(demo) == ()


# Each case: file, text to replace, replacement, code of the problem, text in the replacement at which it points, words
# of the message, words of the remedy. A "" for the pointer means the start of the replaced text.
USE = "use_cases/assistant.yaml"
MODELS = "models/local.yaml"
RULES = "policies/demo.yaml"
SETTINGS = "greffier.yaml"
CASES = [
    # a single file
    (USE, "tenant: demo", "tennant: demo", "unknown_key", "tennant", "no key 'tennant'", "Did you mean 'tenant'?"),
    (USE, "tenant: demo\n", "", "missing_key", None, "'tenant' is missing", "Add 'tenant:' with text"),
    (USE, "risk_class: minimal", "risk_class: tiny", "wrong_value", "tiny", "one of high, limited, minimal", "Known:"),
    (USE, "title: Demo assistant", "title: 3", "wrong_type", "3", "Expected text, got '3'", "in quotes"),
    (USE, "prompt: assistant", "tools: yes", "wrong_type", "yes", "Expected true or false, got 'yes'", "Only true"),
    (USE, "prompt: assistant", "retention_days: 0", "wrong_value", "0", "at least 1, got '0'", "bound"),
    (USE, "models: [assistant]", "models: []", "wrong_value", "[]", "at least 1 entry", ""),
    (USE, "models: [assistant]", "models: assistant", "wrong_type", "assistant", "Expected a list", "[a, b]"),
    (USE, "id: assistant", "id: Assistant!", "wrong_value", "Assistant!", "an identifier", "at most 63"),
    (USE, "  article_6: 6(1)(a)", "  article_6: 6(1)(z)", "wrong_value", "6(1)(z)", "Expected one of 6(1)(a)", "Did"),
    (USE, "purpose: demonstration", "limits: {spend_per_day: 1.5}", "wrong_type", "1.5", "Expected text", "quotes"),
    (USE, "prompt: assistant", 'limits: {spend_per_day: "1,5"}', "wrong_value", '"1,5"', "amount of money", "0.15"),
    (
        USE,
        "status: approved",
        "status: approved\nstatus: draft",
        "duplicate_key",
        "status: draft",
        "second time",
        "Keep",
    ),
    (USE, "owner: owner", "owner: &x owner", "yaml_anchor", "&x", "anchors and aliases", "Write the value out"),
    (USE, "owner: owner@", "owner: !!python/name:os.system owner@", "yaml_tag", "!!python", "tags", "Remove"),
    (USE, "on: 2026-11-24", "on: last week", "wrong_value", "last week", "Expected a date", "YYYY-MM-DD"),
    (SETTINGS, "requests_per_minute: 600", "requests_per_minute: 5.0", "wrong_value", "5.0", "got `float`", "whole"),
    (
        MODELS,
        "deployment: local-smollm2",
        "deployment: local-smollm2\n        weight: 1e2",
        "wrong_value",
        "1e2",
        "",
        "who",
    ),
    (SETTINGS, "currency: EUR", "currency: Euro", "wrong_value", "Euro", "a currency code", "EUR"),
    (SETTINGS, "  demo:\n", "  Demo Tenant:\n", "wrong_value", "Demo Tenant", "an identifier", "63"),
    (SETTINGS, "schema: 1", "schema: 2", "wrong_value", "2", "Expected one of 1", "Known: 1."),
    (
        SETTINGS,
        "requests_per_minute: 600",
        "requests_per_minute: 1e400",
        "yaml_number",
        "1e400",
        "too large",
        "64 bits",
    ),
    (SETTINGS, "name: demo", "name: [demo", "yaml_syntax", None, "not valid YAML", "Check indentation"),
    (
        MODELS,
        "    price:\n",
        "    secret: sk-live-123\n    price:\n",
        "plain_secret",
        "sk-live-123",
        "reference",
        "env:",
    ),
    # between files
    (USE, "tenant: demo", "tenant: acme", "unknown_reference", "acme", "no tenant 'acme'", "Known: demo"),
    (USE, "models: [assistant]", "models: [asistant]", "unknown_reference", "asistant", "model", "Did you mean"),
    (USE, "default_model: assistant", "default_model: other", "unknown_reference", "other", "default model", "Known"),
    (USE, "prompt: assistant", "prompt: asistent", "unknown_reference", "asistent", "no prompt", "Did you mean"),
    (USE, "prompt: assistant", "screen: strict", "unknown_reference", "strict", "no screen", "Known: default"),
    (USE, "[public, internal,", "[public, pers0nal,", "unknown_reference", "pers0nal", "no data class", "Did you"),
    (USE, "  article_9: 9(2)(a)\n", "", "lawful_basis_missing", None, "Art. 9", "Add 'article_9'"),
    (USE, "by: [reviewer@demo.example]", "by: [Owner@demo.example]", "self_approval", "Owner@", "owner", "four-eyes"),
    (USE, "by: [reviewer@demo.example]", "by: []", "approval_missing", "[]", "Nobody", "Name at least one"),
    (USE, "prompt: assistant", "regions: [eu]", "unreachable_model", None, "lies in eu", "deployed in: local"),
    (MODELS, "deployment: local-smollm2", "deployment: local-smolm", "unknown_reference", "local-smolm", "", "Did you"),
    (
        MODELS,
        "deployment: local-smollm2",
        "deployment: local-smollm2\n        weight: 0",
        "no_weight",
        None,
        "0",
        "Raise",
    ),
    (MODELS, "location: on_premises", "location: external", "wrong_value", "external", "runs on this machine", ""),
    (
        MODELS,
        "    region: local\n",
        "    region: local\n    base_url: https://x\n",
        "misplaced_key",
        "base_url",
        "",
        "",
    ),
    (
        MODELS,
        "[chat]",
        "[chat]\n    data_classes: [publik]",
        "unknown_reference",
        "publik",
        "data class",
        "Did you mean",
    ),
    (RULES, "use_cases: [assistant]", "use_cases: [asistant]", "unknown_reference", "asistant", "use case", "Did you"),
    (RULES, "use_cases: [assistant]", "models: [gpt]", "unknown_reference", "gpt", "no model", "Known"),
    (RULES, "use_cases: [assistant]", "use_cases: [assist*]", "wrong_rule", "[assist*]", "no pattern", "Correct"),
    (RULES, "use_cases: [assistant]", "purposes: [marketing]", "unknown_reference", "marketing", "purpose", "Known"),
    (RULES, "tenants: [demo]", "tenants: [dem]", "unknown_reference", "dem]", "no tenant", "Did you mean 'demo'"),
    (RULES, "actions: [chat, embed", "actions: [chatt, embed", "unknown_reference", "chatt", "no action", "'chat'"),
    (RULES, "use_cases: [assistant]", "time: {timezone: Mars/X}", "wrong_rule", "{timezone", "time zone", ""),
    (RULES, "use_cases: [assistant]", 'time: {between: "29:00-30:00"}', "wrong_value", '"29:00-30:00"', "", ""),
    (RULES, "use_cases: [assistant]", 'time: {between: "25:00-26:00"}', "wrong_rule", "{between", "hour of", ""),
    (SETTINGS, "  per_key:", "  tenants: {acme: {}}\n  per_key:", "unknown_reference", "acme", "no tenant", "Known"),
    (SETTINGS, "  per_key:", "  models: {gpt: {}}\n  per_key:", "unknown_reference", "gpt", "no model", "Known"),
    (
        SETTINGS,
        "  per_key:",
        "  unknown_price: ceiling\n  per_key:",
        "missing_ceiling",
        "ceiling",
        "the ceiling",
        "Add",
    ),
    (SETTINGS, "currency: EUR", "bundle_keys: [abc]", "wrong_value", "abc", "fingerprint", "sign-key"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[3] or 'none'}: {case[2][:40]!r}")
def test_mistake(demo: Path, case: tuple[str, str, str, str, str | None, str, str]) -> None:
    file, old, new, code, pointer, message, remedy = case
    line, column = edit(demo, file, old, new)
    problems = check_workspace(demo)
    found = [p for p in problems if p.code == code]
    assert found, places(problems)
    problem = found[0]
    assert problem.file == file
    if pointer is not None:
        start = new.index(pointer)
        lines = new[:start].split("\n")
        expected = (line + len(lines) - 1, (column if len(lines) == 1 else 1) + len(lines[-1]))
        assert (problem.line, problem.column) == expected
    assert message in problem.message
    assert remedy in problem.remedy
    assert problem.remedy
    assert len(problem.message) < 300
    assert not [p for p in problems if p.code == "unknown_reference" and code in {"unknown_key", "wrong_type"}]


def test_a_secret_written_in_place_is_never_repeated(demo: Path) -> None:
    edit(demo, MODELS, "    price:\n", "    secret: sk-live-123\n    price:\n")
    for problem in check_workspace(demo):
        assert "sk-live-123" not in str(problem)


@pytest.mark.parametrize(
    "line",
    [
        "    api_key: sk-live-123\n",
        "    headers: {Authorization: sk-live-123}\n",
        "    tls: {client_key: sk-live-123, ca_file: 3}\n",
        "    tls: {ca_file: 3, password: sk-live-123}\n",
        "    proxy: http://me:sk-live-123@proxy.example\n",
        "    base_url: https://sk-live-123@llm.example\n",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated_either(demo: Path, line: str) -> None:
    edit(demo, MODELS, "    price:\n", f"{line}    price:\n")
    problems = check_workspace(demo)
    assert problems
    for problem in problems:
        assert "sk-live-123" not in str(problem)


def test_a_file_cannot_steer_the_terminal(demo: Path) -> None:
    edit(demo, USE, "tenant: demo", 'tenant: "de\\e[2Jmo"')
    problem = check_workspace(demo)[0]
    assert "\x1b" not in problem.message
    assert "\\u001b[2J" in problem.message


def test_one_file_cannot_flood_the_report(demo: Path) -> None:
    write(demo, RULES, "rules:\n" + "- {}\n" * 5000)
    assert len(check_workspace(demo)) == 50
    write(demo, RULES, "a: 1\n" * 5000)
    assert len(check_workspace(demo)) <= 51


def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(demo: Path) -> None:
    (demo / "guardrails" / "README.md").unlink()
    (demo / "guardrails").rmdir()
    assert check_workspace(demo) == ()
    (demo / "guardrails").symlink_to("nowhere")
    assert places(check_workspace(demo)) == [("unreadable", "guardrails", 1, 1)]
    (demo / "guardrails").unlink()
    write(demo, "guardrails", "screens: {}")
    assert places(check_workspace(demo)) == [("unreadable", "guardrails", 1, 1)]


def test_several_mistakes_are_named_at_once_in_file_order(demo: Path) -> None:
    edit(demo, USE, "tenant: demo", "tenant: acme")
    edit(demo, USE, "prompt: assistant", "prompt: nobody")
    edit(demo, RULES, "effect: allow", "effect: maybe")
    edit(demo, SETTINGS, "name: demo", "nam: demo")
    problems = check_workspace(demo)
    assert places(problems) == [
        ("missing_key", "greffier.yaml", 3, 1),
        ("unknown_key", "greffier.yaml", 4, 1),
        ("wrong_value", "policies/demo.yaml", 6, 13),
        ("unknown_reference", "use_cases/assistant.yaml", 20, 9),
    ]
    with pytest.raises(ConfigError) as refused:
        build(demo)
    assert refused.value.code == "workspace_invalid"
    assert refused.value.problems == problems


def test_an_unusable_file_is_the_only_mistake_it_causes(demo: Path) -> None:
    write(demo, MODELS, "models: [")
    assert [p.code for p in check_workspace(demo)] == ["yaml_syntax"]


def test_personal_data_needs_a_lawful_basis(demo: Path) -> None:
    edit(demo, USE, "lawful_basis:\n  article_6: 6(1)(a)\n  article_9: 9(2)(a)\n", "")
    problems = check_workspace(demo)
    assert [(p.code, p.path) for p in problems] == [
        ("lawful_basis_missing", "data_classes[2]"),
        ("lawful_basis_missing", "data_classes[3]"),
    ]


def test_an_approved_use_case_needs_an_approval(demo: Path) -> None:
    edit(demo, USE, "approval:\n  by: [reviewer@demo.example]\n  on: 2026-11-24\n", "")
    assert [p.code for p in check_workspace(demo)] == ["approval_missing"]
    edit(demo, USE, "status: approved", "status: draft")
    assert check_workspace(demo) == ()


def test_a_use_case_kept_on_premises_needs_a_model_there(demo: Path) -> None:
    write(demo, "models/far.yaml", EXTERNAL)
    edit(demo, USE, "models: [assistant]", "models: [assistant, far]\non_premises_only: true")
    problems = check_workspace(demo)
    assert [(p.code, p.path) for p in problems] == [("unreachable_model", "models[1]")]


def test_a_data_class_that_no_deployment_may_process_is_a_warning(demo: Path) -> None:
    write(demo, "models/far.yaml", EXTERNAL)
    edit(demo, USE, "models: [assistant]", "models: [assistant, far]")
    problems = check_workspace(demo)
    assert {(p.code, p.severity, p.path) for p in problems} == {("unserved_data_class", "warning", "models[1]")}
    assert [name in str(problems) for name in ("special_category", "payment", "personal")] == [True, True, False]


EXTERNAL = """\
deployments:
  far:
    provider: openai_compatible
    model: m
    location: external
    region: eu
    base_url: https://llm.example
    secret: env:FAR_KEY
    price: {input_per_million: "1", output_per_million: "2"}
models:
  far:
    targets: [{deployment: far}]
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        ("    base_url: https://llm.example\n", "", "base_url_missing", "deployments.far"),
        ("https://llm.example", "http://llm.example", "insecure_url", "deployments.far.base_url"),
        ("https://llm.example", "ftp://llm.example", "wrong_value", "deployments.far.base_url"),
        ("https://llm.example", "https://me:pass@llm.example", "plain_secret", "deployments.far.base_url"),
        ("https://llm.example", "https://llm.example/?key=1", "wrong_value", "deployments.far.base_url"),
        ("https://llm.example", "https://llm.example:port", "wrong_value", "deployments.far.base_url"),
        ("https://llm.example", "env:FAR-URL", "wrong_reference", "deployments.far.base_url"),
        ("https://llm.example", "ENV:FAR_URL", "wrong_reference", "deployments.far.base_url"),
        ("    secret: env:FAR_KEY\n", "", "secret_missing", "deployments.far"),
        ("env:FAR_KEY", "vault:x", "plain_secret", "deployments.far.secret"),
        ("openai_compatible", "azure_openai", "api_version_missing", "deployments.far"),
        ("    region: eu\n", "    region: eu\n    model_path: x\n", "misplaced_key", "deployments.far.model_path"),
        ("    region: eu\n", "    region: eu\n    tls: {client_key: 'env:K'}\n", "incomplete_certificate", None),
        ("[{deployment: far}]", "[{deployment: far}, {deployment: far}]", "duplicate_target", None),
    ],
)
def test_deployments(demo: Path, old: str, new: str, code: str, path: str | None) -> None:
    write(demo, "models/far.yaml", EXTERNAL)
    assert check_workspace(demo) == ()
    edit(demo, "models/far.yaml", old, new)
    problems = check_workspace(demo)
    assert [p.code for p in problems] == [code]
    if path is not None:
        assert problems[0].path == path


def test_an_unknown_price_is_a_warning(demo: Path) -> None:
    write(
        demo, "models/far.yaml", EXTERNAL.replace('    price: {input_per_million: "1", output_per_million: "2"}\n', "")
    )
    problems = check_workspace(demo)
    assert [(p.code, p.severity) for p in problems] == [("price_missing", "warning")]
    build(demo)  # a warning does not stop a build


@pytest.mark.parametrize(
    ("folder", "body", "ident"),
    [
        ("models", EXTERNAL, "deployment 'far'"),
        ("guardrails", "topics:\n  t:\n    title: T\n    terms: [x]\n", "topic 't'"),
        ("guardrails", "screens:\n  s: {}\n", "screen 's'"),
        ("policies", "rules:\n- {id: r, description: d, effect: deny, when: {tenants: [demo]}}\n", "rule 'r'"),
    ],
)
def test_ids_are_unique_over_files(demo: Path, folder: str, body: str, ident: str) -> None:
    write(demo, f"{folder}/a1.yaml", body)
    assert [p for p in check_workspace(demo) if p.severity == "error"] == []
    write(demo, f"{folder}/a2.yaml", body)
    problem = next(p for p in check_workspace(demo) if p.code == "duplicate_id")
    assert ident in problem.message
    assert problem.file == f"{folder}/a2.yaml"
    assert f"{folder}/a1.yaml:" in problem.message


def test_use_case_ids_are_unique_over_files(demo: Path) -> None:
    write(demo, "use_cases/b.yaml", (demo / USE).read_text())
    assert places(check_workspace(demo)) == [("duplicate_id", "use_cases/b.yaml", 3, 5)]


def test_rule_ids_are_unique_in_one_file(demo: Path) -> None:
    rules = (demo / RULES).read_text()
    write(demo, RULES, rules + rules[rules.index("  - id") :])
    assert [(p.code, p.path) for p in check_workspace(demo)] == [("duplicate_id", "rules[1].id")]


SCREEN = """\
screens:
  strict:
    detectors: [identifiers, topics]
    input:
      - {id: a, types: [EMAIL, "topic:weapons"], then: redact}
topics:
  weapons:
    title: Weapons
    terms: [grenade]
    patterns: ["bomb(s)?"]
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "severity", "path"),
    [
        ("EMAIL", "EMIAL", "unknown_type", "error", "screens.strict.input[0].types[0]"),
        ("EMAIL", "credit-card", "unknown_type", "error", "screens.strict.input[0].types[0]"),
        ("EMAIL", "SHOE_SIZE", "unknown_type", "warning", "screens.strict.input[0].types[0]"),
        ("topic:weapons", "topic:weapon", "unknown_reference", "error", "screens.strict.input[0].types[1]"),
        ("identifiers", "identifier", "unknown_detector", "warning", "screens.strict.detectors[0]"),
        ("then: redact}", "then: redact, provenance: [web]}", "unknown_reference", "error", None),
        ("then: redact}", "then: redact}\n      - {id: a, types: ['*'], then: flag}", "duplicate_id", "error", None),
        (
            "    input:",
            "    output:\n      - {id: b, types: [EMAIL], then: on_premises}\n    input:",
            "misplaced_action",
            "error",
            None,
        ),
        ("    input:", "    on_unavailable: flag\n    input:", "fails_open", "warning", None),
        ("bomb(s)?", "(?=x)", "wrong_pattern", "error", "topics.weapons.patterns[0]"),
        ("bomb(s)?", "(bomb", "wrong_pattern", "error", "topics.weapons.patterns[0]"),
        ("bomb(s)?", "b*", "wrong_pattern", "error", "topics.weapons.patterns[0]"),
        ('    terms: [grenade]\n    patterns: ["bomb(s)?"]\n', "", "empty_topic", "error", "topics.weapons"),
        ("[grenade]", "['']", "wrong_value", "error", "topics.weapons.terms[0]"),
        ("    input:", "    output_schema: {type: objekt}\n    input:", "wrong_schema", "error", None),
        ("    input:", "    output_schema: {$ref: 'https://x.example/s'}\n    input:", "foreign_schema", "error", None),
    ],
)
def test_screens(demo: Path, *, old: str, new: str, code: str, severity: str, path: str | None) -> None:
    write(demo, "guardrails/screens.yaml", SCREEN)
    assert check_workspace(demo) == ()
    edit(demo, "guardrails/screens.yaml", old, new)
    problems = check_workspace(demo)
    assert [(p.code, p.severity) for p in problems] == [(code, severity)]
    if path is not None:
        assert problems[0].path == path
    assert problems[0].line > 1


PROMPT = """\
---
version: 1
title: T
owner: o
variables:
  company: {}
  tone: {default: friendly, choices: [friendly, formal]}
  words: {type: integer, default: "50"}
  brief: {type: boolean, default: true}
---
You work for {{company}}. Be {{tone}}. Use {{words}} words. Brief: {{brief}}.
"""


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ("", "missing_variable", "company"),
        ("{company: Acme, tone: rude}", "wrong_variable", "one of: friendly, formal"),
        ("{company: Acme, words: many}", "wrong_variable", "whole number"),
        ("{company: Acme, name: x}", "unknown_reference", "no variable 'name'"),
        (f"{{company: {'x' * 1001}}}", "wrong_variable", "1001 characters"),
        ("{company: 4711}", "wrong_variable", "put it in quotes"),
        ("{company: Acme, words: true}", "wrong_variable", "whole number"),
        ("{company: Acme, brief: 1}", "wrong_variable", "neither true nor false"),
        ("{company: Acme, tone: formal}", "", ""),
        ("{company: Acme, words: 20, brief: false}", "", ""),
        ("{company: Acme, words: '20', brief: 'false'}", "", ""),
    ],
)
def test_prompt_variables(demo: Path, variables: str, code: str, words: str) -> None:
    write(demo, "prompts/house.md", PROMPT)
    given = f"\nprompt_variables: {variables}" if variables else ""
    edit(demo, USE, "prompt: assistant", f"prompt: house{given}")
    problems = check_workspace(demo)
    assert [p.code for p in problems] == ([code] if code else [])
    if code:
        assert words in problems[0].message


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "column"),
    [
        ("{{company}}", "{{firm}}", "unknown_variable", 11, 14),
        ("{{company}}", "{{ company }}", "unknown_variable", 11, 14),
        (". Use {{words}} words.", ".", "unused_variable", 8, 3),
        ("You work for {{company}}. Be {{tone}}. Use {{words}} words. Brief: {{brief}}.\n", "\n", "empty_prompt", 2, 1),
        ('default: "50"', 'default: "many"', "wrong_variable", 8, 35),
        ("version: 1", "version: one", "wrong_type", 2, 10),
        ("---\nversion", "version", "front_matter", 1, 1),
        ("---\nYou", "You", "front_matter", 1, 1),
    ],
)
def test_prompt_files(demo: Path, *, old: str, new: str, code: str, line: int, column: int) -> None:
    write(demo, "prompts/house.md", PROMPT)
    assert check_workspace(demo) == ()
    edit(demo, "prompts/house.md", old, new)
    problem = next(p for p in check_workspace(demo) if p.code == code)
    assert (problem.file, problem.line, problem.column) == ("prompts/house.md", line, column)


ISSUER = """
    issuers:
      - issuer: https://idp.example
        audience: gateway
        use_cases: [{claim: azp, equals: app, use_case: assistant}]
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("https://idp", "http://idp", "insecure_url"),
        ("use_case: assistant", "use_case: nobody", "unknown_reference"),
        ("audience: gateway", "audience: gateway\n        algorithms: [none]", "wrong_value"),
        ("audience: gateway", "audience: gateway\n        algorithms: [HS256]", "wrong_value"),
        ("audience: gateway", "audience: gateway\n        clock_skew_s: 301", "wrong_value"),
        ("audience: gateway", "audience: gateway\n        jwks_uri: file:///etc/passwd", "insecure_url"),
    ],
)
def test_issuers(demo: Path, old: str, new: str, code: str) -> None:
    edit(demo, SETTINGS, "    title: Demo\n", f"    title: Demo{ISSUER}")
    assert check_workspace(demo) == ()
    edit(demo, SETTINGS, old, new)
    assert [p.code for p in check_workspace(demo)] == [code]


def test_issuers_of_two_tenants_do_not_overlap(demo: Path) -> None:
    other = ISSUER.replace("use_case: assistant", "use_case: other")
    edit(demo, SETTINGS, "    title: Demo\n", f"    title: Demo{ISSUER}  other:\n    title: Other{other}")
    copy = (demo / USE).read_text().replace("id: assistant", "id: other").replace("tenant: demo", "tenant: other")
    write(demo, "use_cases/other.yaml", copy)
    assert [p.code for p in check_workspace(demo)] == ["ambiguous_issuer"]
    edit(demo, "use_cases/other.yaml", "tenant: other", "tenant: demo")
    assert "foreign_use_case" in [p.code for p in check_workspace(demo)]


def test_a_rule_without_conditions_is_pointed_out(demo: Path) -> None:
    write(demo, RULES, "rules:\n- {id: all, description: d, effect: allow, when: {}}\n")
    assert [(p.code, p.severity) for p in check_workspace(demo)] == [("allows_everything", "warning")]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("use_cases/b.yml", "unexpected_file"),
        ("use_cases/notes.txt", "unexpected_file"),
        ("use_cases/team/b.yaml", "unexpected_file"),
        ("policy/x.yaml", "lookalike"),
        ("use-cases/x.yaml", "lookalike"),
        ("guardrail/x.yaml", "lookalike"),
        ("tools/x.yaml", "not_supported"),
        ("corpora/x.yaml", "not_supported"),
        ("evals/x.yaml", "not_supported"),
    ],
)
def test_nothing_is_passed_over_in_silence(demo: Path, name: str, code: str) -> None:
    (demo / name).parent.mkdir(exist_ok=True)
    (demo / name).write_text("x")
    assert [p.code for p in check_workspace(demo)] == [code]


@pytest.mark.parametrize("name", ["tools/README.md", "use_cases/README.md", "docs/x.yaml", "use_cases/.swp", "LICENSE"])
def test_other_files_are_left_alone(demo: Path, name: str) -> None:
    (demo / name).parent.mkdir(exist_ok=True)
    (demo / name).write_text("x")
    assert check_workspace(demo) == ()


def test_no_folder_and_no_settings(tmp_path: Path) -> None:
    (problem,) = check_workspace(tmp_path / "missing")
    assert (problem.code, problem.message) == ("workspace_missing", f"There is no folder {tmp_path}/missing.")
    assert [p.code for p in check_workspace(tmp_path)] == ["settings_missing"]
    (tmp_path / "greffier.yml").write_text("schema: 1")
    assert [p.code for p in check_workspace(tmp_path)] == ["lookalike"]
    with pytest.raises(ConfigError):
        build(tmp_path)


def test_an_empty_settings_file_lacks_its_keys(tmp_path: Path) -> None:
    (tmp_path / "greffier.yaml").write_text("")
    assert [p.code for p in check_workspace(tmp_path)] == ["missing_key"] * 3
