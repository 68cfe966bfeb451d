"""What was in force stays readable by its digest for as long as records cite it, and not much longer."""

from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.config.demo import write_demo
from greffier.config.kept import (
    ROLLBACK,
    SLACK_MS,
    InForceLine,
    forget_configuration,
    forgettable,
    in_force,
    is_kept,
    keep_configuration,
    kept_configuration,
)
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    write_demo(tmp_path)
    made = WorkspacePaths(tmp_path)
    made.ensure()
    return made


def change(paths: WorkspacePaths, name: str) -> str:
    text = paths.settings.read_text()
    paths.settings.write_text(text.replace("title: Demo", f"title: {name}") if "title: Demo" in text else text)
    snapshot = load_snapshot(paths)
    keep_configuration(paths, snapshot, 1)
    return snapshot.revision


def test_what_ran_unsigned_is_kept_and_has_the_digest_it_is_cited_by(paths: WorkspacePaths) -> None:
    snapshot = load_snapshot(paths)
    keep_configuration(paths, snapshot, 5)
    keep_configuration(paths, snapshot, 6)  # another worker, or a restart
    assert in_force(paths) == [InForceLine(snapshot.revision, 5)]
    kept = kept_configuration(paths, snapshot.revision)
    assert kept.revision == snapshot.revision
    assert kept.content.workspace.name == "demo"
    assert is_kept(paths, snapshot.revision)
    assert not is_kept(paths, "")
    with pytest.raises(ConfigError, match="not kept here"):
        kept_configuration(paths, "0" * 64)


def test_a_changed_file_is_not_what_it_is_cited_as(paths: WorkspacePaths) -> None:
    first, second = change(paths, "Demo"), change(paths, "Other")
    (paths.configurations / f"{second}.json.gz").replace(paths.configurations / f"{first}.json.gz")
    with pytest.raises(ConfigError, match="another configuration"):
        kept_configuration(paths, first)


def test_forgetting_takes_the_file_and_its_lines(paths: WorkspacePaths) -> None:
    first, second = change(paths, "Demo"), change(paths, "Other")
    with (paths.configurations / "in-force.jsonl").open("ab") as file:
        file.write(b'{"revision": "cut sho')  # a crash
    forget_configuration(paths, first)
    assert not is_kept(paths, first)
    assert [line.revision for line in in_force(paths)] == [second]


times = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=30)


@given(times, st.integers(0, 60), st.integers(0, 9))
def test_nothing_that_a_kept_record_may_cite_is_forgotten(
    changes: list[tuple[int, int]], first_day: int, current: int
) -> None:
    lines = [InForceLine(str(name), day * SLACK_MS) for name, day in sorted(changes, key=lambda change: change[1])]
    first_ms = first_day * SLACK_MS
    gone = forgettable(lines, str(current), first_ms)
    assert str(current) not in gone
    for line, following in zip_longest(lines, lines[1:]):
        served_later = following is None or following.from_ms + SLACK_MS >= first_ms
        if served_later:
            assert line.revision not in gone
    names = {line.revision for line in lines}
    assert len(names - set(gone)) >= min(ROLLBACK, len(names))
    assert len(set(gone)) == len(gone)


def test_what_no_record_cites_any_more_goes(paths: WorkspacePaths) -> None:
    lines = [InForceLine(str(number), number * SLACK_MS) for number in range(ROLLBACK + 3)]
    assert forgettable(lines, "", 100 * SLACK_MS) == ["0", "1", "2"]
    assert forgettable(lines, "1", 100 * SLACK_MS) == ["0", "2"]
    assert forgettable(lines, "", 3 * SLACK_MS) == ["0"]
    assert forgettable([], "", 100 * SLACK_MS) == []
