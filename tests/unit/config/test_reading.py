"""Reading is bounded and guesses nothing: bombs, traversal, YAML's surprises."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.config.bundle import check_workspace
from greffier.config.demo import write_demo
from greffier.config.documents import MAX_DEPTH, MAX_NODES, read_yaml
from greffier.config.files import MAX_FILE_BYTES, read_workspace

USE = "use_cases/assistant.yaml"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


def value(text: str) -> object:
    document, problems = read_yaml("x.yaml", text)
    assert problems == []
    assert document is not None
    return document.value


def codes(text: str) -> list[str]:
    return [problem.code for problem in read_yaml("x.yaml", text)[1]]


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "y", "N", "True", "NULL", "Null", "FALSE"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    assert value(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    "text", ["2026-11-24", "12:30:45", "0x1F", "0o17", "012", "1_000", ".inf", "-.INF", ".nan", "1.", ".5", "+1", "1,5"]
)
def test_only_the_numbers_of_json_are_numbers(text: str) -> None:
    assert value(f"a: {text}") == {"a": text}


def test_scalars_of_json() -> None:
    text = "{a: 1, b: -2, c: 1.5, d: 1e3, e: true, f: false, g: null, h: ~, i: , j: '1', k: \"true\", l: -0.5e-2}"
    expected = {"a": 1, "b": -2, "c": 1.5, "d": 1000.0, "e": True, "f": False, "g": None, "h": None, "i": None}
    assert value(text) == {**expected, "j": "1", "k": "true", "l": -0.005}


def test_keys_are_text() -> None:
    assert value("no: 1\n1: 2\ntrue: 3\n2026-01-01: 4") == {"no": 1, "1": 2, "true": 3, "2026-01-01": 4}


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1e400", "9" * 5000])
def test_numbers_that_do_not_fit_are_refused(number: str) -> None:
    assert codes(f"a: {number}") == ["yaml_number"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: &x 1", "yaml_anchor"),
        ("a: [&x 1, *x]", "yaml_anchor"),
        ("&x a: 1", "yaml_anchor"),
        ("a: !!str 1", "yaml_tag"),
        ("a: !secret x", "yaml_tag"),
        ("!!set {a}", "yaml_tag"),
        ("a: 1\n---\nb: 2", "yaml_documents"),
        ("? [a, b]\n: 1", "yaml_key"),
        ("? {a: b}\n: 1", "yaml_key"),
        (f"{'k' * 300}: 1", "yaml_key"),
        ("a: 1\na: 2", "duplicate_key"),
        ("a: {b: 1, b: 2}", "duplicate_key"),
        ("'a': 1\n\"a\": 2", "duplicate_key"),
        ("a: [", "yaml_syntax"),
        ("a: b: c", "yaml_syntax"),
        ("\ta: 1", "yaml_syntax"),
        ("a: \x01", "yaml_syntax"),
        ("a: \u202e1", "hidden_character"),
        ("a: x\U000e0041", "hidden_character"),
    ],
)
def test_what_json_does_not_have_is_refused(text: str, code: str) -> None:
    assert code in codes(text)


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert value("<<: {a: 1}") == {"<<": {"a": 1}}


def test_billion_laughs() -> None:
    lines = ["a0: &a0 [lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    document, problems = read_yaml("x.yaml", "\n".join(lines))
    assert document is None
    assert {problem.code for problem in problems} == {"yaml_anchor"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_bounded(opening: str) -> None:
    assert codes(opening * 100_000) == ["yaml_too_large"]


def test_depth_within_the_bound() -> None:
    assert codes("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []


def test_number_of_values_is_bounded() -> None:
    assert codes("[" + "1," * MAX_NODES + "]") == ["yaml_too_large"]


def test_positions_count_from_one() -> None:
    document, _ = read_yaml("x.yaml", "a:\n  - b: 1\n    'c d': x")
    assert document is not None
    problem = document.problem(("a", 0, "c d"), "code", "message", "remedy")
    assert (problem.line, problem.column, problem.path, problem.excerpt) == (3, 12, "a[0].c d", "    'c d': x")
    problem = document.problem(("a", 0, "c d"), "code", "message", "remedy", at_key=True)
    assert (problem.line, problem.column) == (3, 5)
    problem = document.problem(("a", 0, "missing", "deeper"), "code", "message", "remedy")
    assert (problem.line, problem.column) == (2, 5)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t0.1~<\\u\ud7ff\U0001f600"), max_size=60))
def test_no_text_crashes_the_reader(text: str) -> None:
    document, problems = read_yaml("x.yaml", text)
    assert document is not None or problems


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_check(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("w")
    (root / "greffier.yaml").write_bytes(data)
    (root / "prompts").mkdir()
    (root / "prompts" / "p.md").write_bytes(b"---\n" + data)
    problems = check_workspace(root)
    assert problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def test_a_large_file_is_refused(demo: Path) -> None:
    (demo / USE).write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert [p.code for p in check_workspace(demo)] == ["file_too_large"]


def test_text_that_is_not_utf8_is_placed(demo: Path) -> None:
    (demo / USE).write_bytes(b"id: a\ntitle: caf\xe9\n")
    problem = check_workspace(demo)[0]
    assert (problem.code, problem.file, problem.line, problem.column) == ("not_utf8", USE, 2, 11)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../secret.yaml", "../../secret.yaml", "/dev/zero", "/proc/self/environ"]
)
def test_links_out_of_the_workspace_are_refused(demo: Path, target: str) -> None:
    (demo.parent / "secret.yaml").write_text("id: x")
    (demo / "use_cases" / "evil.yaml").symlink_to(target)
    found = [p for p in check_workspace(demo) if p.file == "use_cases/evil.yaml"]
    assert [p.code for p in found] in (["outside_workspace"], ["unreadable"])
    assert "root:" not in str(found)


def test_a_linked_folder_out_of_the_workspace_is_refused(demo: Path) -> None:
    outside = demo.parent / "outside"
    outside.mkdir()
    (outside / "x.yaml").write_text("rules: []")
    (demo / "policies").rename(demo / "kept")
    (demo / "policies").symlink_to(outside)
    assert "outside_workspace" in [p.code for p in check_workspace(demo)]


def test_links_inside_the_workspace_are_followed(demo: Path) -> None:
    """Kubernetes mounts a ConfigMap as links into a folder whose name begins with two dots."""
    (demo / "..2026").mkdir()
    (demo / USE).rename(demo / "..2026" / "assistant.yaml")
    (demo / "..data").symlink_to("..2026")
    (demo / USE).symlink_to("../..data/assistant.yaml")
    assert check_workspace(demo) == ()


def test_a_loop_of_links_is_refused(demo: Path) -> None:
    (demo / "use_cases" / "a.yaml").symlink_to("b.yaml")
    (demo / "use_cases" / "b.yaml").symlink_to("a.yaml")
    assert [p.code for p in check_workspace(demo)] == ["unreadable", "unreadable"]


def test_a_pipe_does_not_hold_the_reader(demo: Path) -> None:
    os.mkfifo(demo / "use_cases" / "pipe.yaml")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(p.code for p in check_workspace(demo)), daemon=True)
    reader.start()
    reader.join(timeout=20)
    assert found == ["unreadable"]


def test_files_come_in_the_order_of_their_names(demo: Path) -> None:
    for name in ("b", "a", "c", "B"):
        (demo / "policies" / f"{name}.yaml").write_text("rules: []")
    files, _ = read_workspace(demo)
    names = [source.name for source in files["policies"]]
    assert names == sorted(names)
