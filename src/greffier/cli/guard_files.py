"""Files that ``greffier guard`` reads: policies, cases, corpora and baselines."""

from pathlib import Path
from typing import NoReturn, get_args

import msgspec

from greffier.app.optional import onnx_classifier
from greffier.cli.output import Exit, err, fail
from greffier.config.bundle import MAX_BUNDLE_BYTES, BundleContent, build, parse_bundle
from greffier.config.default_screen import default_screen
from greffier.config.documents import read_yaml
from greffier.config.problems import ConfigError, Problem
from greffier.config.schema import decode
from greffier.core.errors import GreffierError
from greffier.guardrails.check import Checker
from greffier.guardrails.scoring import KINDS, Baseline, Counts, Kind, Row
from greffier.guardrails.screen import Guard
from greffier.guardrails.trial import GuardCase, GuardTestFile

_MAX_CASES_BYTES = 4_194_304
_decoder = msgspec.json.Decoder(Row)


class Rows(msgspec.Struct, frozen=True):
    """A corpus as read."""

    name: str
    kind: Kind | None
    rows: tuple[Row, ...]
    labelled: bool = True


def build_guard(place: Path, *, as_json: bool, named: bool = False) -> Guard:
    """The screens of a workspace or bundle; the built-in one outside a workspace that nobody named, which is said."""
    try:
        if place.is_file():
            return guard_of(parse_bundle(_read(place, MAX_BUNDLE_BYTES, as_json=as_json)).content, place.parent)
        if not (place / "greffier.yaml").is_file():
            if named or not place.is_dir():
                remedy = "Name a folder with a greffier.yaml, or leave the option out to use the built-in screen."
                fail(f"{place} is neither a workspace nor a bundle", remedy, code=Exit.USAGE, as_json=as_json)
            if not as_json:
                err.print(f"[dim]{place.resolve().name} is no workspace: the built-in screen is used[/]")
            return Guard({"default": default_screen()})
        return guard_of(build(place).content, place)
    except ConfigError as error:
        fail(str(error), "Run 'greffier config check' for every mistake.", code=Exit.CONFIG, as_json=as_json)
    except GreffierError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)


def build_checker(place: Path, *, as_json: bool, named: bool = False) -> Checker:
    """A checker over `build_guard`."""
    return Checker(build_guard(place, as_json=as_json, named=named))


def guard_of(content: BundleContent, base: Path) -> Guard:
    """The guard of a bundle, with its detectors from files; nothing is asked over a network.

    Raises:
        GreffierError: A screen names a detector that is elsewhere, or one that cannot be loaded.
    """
    from_files = {
        name: onnx_classifier(name, settings, base)
        for name, settings in content.detectors.items()
        if settings.kind == "onnx"
    }
    screens = {"default": default_screen(), **content.screens}
    return Guard(screens, content.topics, outside=from_files, packs=content.signature_packs)


def read_cases(path: Path, *, as_json: bool) -> tuple[GuardCase, ...]:
    """The cases of a file, or a word about its first mistake."""
    data = _read(path, _MAX_CASES_BYTES, as_json=as_json)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8", "Save the file as UTF-8.", code=Exit.CONFIG, as_json=as_json)
    document, problems = read_yaml(str(path), text)
    found = None
    if document is not None and not problems:
        found, problems = decode(document, GuardTestFile)
    if found is None:
        _fail_on(problems, path, as_json=as_json)
    return found.cases


def _fail_on(problems: list[Problem], path: Path, *, as_json: bool) -> NoReturn:
    if not problems:
        fail(f"{path} is empty", "Write 'cases:' and a list of cases.", code=Exit.CONFIG, as_json=as_json)
    first = problems[0]
    message = f"{first.file}:{first.line}:{first.column}: {first.message}"
    fail(message, first.remedy, code=Exit.CONFIG, as_json=as_json)


def read_corpus(path: Path, kind: str | None, *, as_json: bool, labelled: bool = True) -> Rows:
    """A corpus of JSON lines; what its positives show is told by ``kind`` or by the name of the file.

    Without labels, rows are only texts to compare two policy versions on.
    """
    rows = []
    for number, line in enumerate(_read(path, MAX_BUNDLE_BYTES, as_json=as_json).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_decoder.decode(line))
        except msgspec.DecodeError as error:
            fail(f"{path}:{number}: {error}", code=Exit.CONFIG, as_json=as_json)
    if not labelled:
        return Rows(path.stem, None, tuple(rows), labelled=False)
    shown: Kind | None = None
    if any(row.spans is None for row in rows):
        shown = next(
            (known for known in get_args(Kind) if known == kind or (kind is None and known in path.stem)), None
        )
        if shown is None:
            known = ", ".join(KINDS)
            fail(f"what does {path.name} show?", f"Say --kind, one of: {known}.", code=Exit.USAGE, as_json=as_json)
        if any(row.label is None for row in rows if row.spans is None):
            fail(f"{path.name} has rows without label and spans", code=Exit.CONFIG, as_json=as_json)
    return Rows(path.stem, shown, tuple(rows))


def read_baseline(path: Path, *, as_json: bool) -> Baseline:
    """Counts of an earlier run."""
    try:
        return msgspec.json.decode(_read(path, _MAX_CASES_BYTES, as_json=as_json), type=Baseline)
    except msgspec.DecodeError as error:
        remedy = "Write it anew with --update."
        fail(f"{path} is no baseline: {error}", remedy, code=Exit.CONFIG, as_json=as_json)


def write_baseline(path: Path, counts: dict[str, Counts]) -> None:
    """Keep the counts; names are sorted, so that a diff shows what changed."""
    data = msgspec.json.encode(Baseline("greffier.guard-baseline/1", dict(sorted(counts.items()))))
    path.write_bytes(msgspec.json.format(data, indent=1) + b"\n")


def _read(path: Path, limit: int, *, as_json: bool) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", code=Exit.UNAVAILABLE, as_json=as_json)
    if len(data) > limit:
        fail(f"{path} is larger than {limit >> 20} MiB", "Split it.", code=Exit.CONFIG, as_json=as_json)
    return data
