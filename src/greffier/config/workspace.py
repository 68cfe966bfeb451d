"""The workspace as written: every entity with the place it comes from, merged over files, ids unique."""

import hashlib
from itertools import islice
from pathlib import Path as FilePath
from typing import Generic, TypeVar

import msgspec

from greffier.config.default_screen import default_screen
from greffier.config.documents import MAX_PROBLEMS, Document, hidden_characters, read_yaml
from greffier.config.files import SourceFile, read_workspace
from greffier.config.problems import Path, Problem, in_order
from greffier.config.schema import decode
from greffier.config.settings import ModelFile, PromptFront, WorkspaceSettings
from greffier.core.settings import Settings
from greffier.guardrails.settings import (
    DetectorSettings,
    GuardrailFile,
    ScreenSettings,
    SignaturePackSettings,
    TopicSettings,
)
from greffier.guardrails.signature_packs import SignaturePack
from greffier.llm.settings import DeploymentSettings
from greffier.policy.settings import PolicyFile, RuleSettings, UseCaseSettings
from greffier.router.settings import ModelSettings

T = TypeVar("T")
S = TypeVar("S", bound=Settings)


class Located(msgspec.Struct, Generic[T], frozen=True):
    """An entity and where it stands."""

    value: T
    document: Document
    path: Path

    def problem(
        self, path: Path, code: str, message: str, remedy: str, *, at_key: bool = False, warning: bool = False
    ) -> Problem:
        """Make a problem at a place inside this entity."""
        return self.document.problem((*self.path, *path), code, message, remedy, at_key=at_key, warning=warning)


class PromptSource(msgspec.Struct, frozen=True):
    """A prompt file: its front matter, its text and the SHA-256 of the file, hex."""

    front: PromptFront
    text: str
    digest: str
    text_line: int


class Sources(msgspec.Struct):
    """Everything the files say, by kind and name. Mutable only while it is being filled here."""

    settings: Located[WorkspaceSettings] | None = None
    use_cases: dict[str, Located[UseCaseSettings]] = {}
    deployments: dict[str, Located[DeploymentSettings]] = {}
    models: dict[str, Located[ModelSettings]] = {}
    rules: list[Located[RuleSettings]] = []
    screens: dict[str, Located[ScreenSettings]] = {}
    topics: dict[str, Located[TopicSettings]] = {}
    detectors: dict[str, Located[DetectorSettings]] = {}
    packs: dict[str, Located[SignaturePackSettings]] = {}
    pack_contents: dict[str, SignaturePack] = {}
    prompts: dict[str, Located[PromptSource]] = {}
    incomplete: set[str] = set()
    """Folders in which a file could not be used, so that a name missing there is no mistake of its own."""


def read_sources(root: FilePath) -> tuple[Sources, tuple[Problem, ...]]:
    """Read and decode every file of the workspace; what refers to what is checked elsewhere."""
    files, problems = read_workspace(root)
    loading = _Loading(problems)
    loading.load(files)
    return loading.sources, in_order(loading.problems)


class _Loading:
    def __init__(self, problems: list[Problem]) -> None:
        self.sources = Sources()
        self.problems = problems

    def load(self, files: dict[str, list[SourceFile]]) -> None:
        sources = self.sources
        sources.incomplete.update(problem.file.partition("/")[0] for problem in self.problems)
        for source in files[""]:
            document, settings = self._decoded(source, WorkspaceSettings)
            if document and settings:
                sources.settings = Located(settings, document, ())
        for source in files["use_cases"]:
            document, use_case = self._decoded(source, UseCaseSettings)
            if document and use_case:
                self._add(sources.use_cases, use_case.id, Located(use_case, document, ()), "use case", ("id",))
        for source in files["models"]:
            self._models(source)
        for source in files["policies"]:
            self._rules(source)
        for source in files["guardrails"]:
            self._guardrails(source)
        for source in files["prompts"]:
            self._prompt(source)
        if "default" not in sources.screens:
            document = Document("(built in)", {}, {}, {}, [])
            sources.screens["default"] = Located(default_screen(), document, ())

    def _models(self, source: SourceFile) -> None:
        document, models = self._decoded(source, ModelFile)
        if document and models:
            for name, deployment in models.deployments.items():
                place = Located(deployment, document, ("deployments", name))
                self._add(self.sources.deployments, name, place, "deployment")
            for name, model in models.models.items():
                self._add(self.sources.models, name, Located(model, document, ("models", name)), "model")

    def _rules(self, source: SourceFile) -> None:
        document, policies = self._decoded(source, PolicyFile)
        if document and policies:
            seen = {rule.value.id: rule for rule in self.sources.rules}
            for index, rule in enumerate(policies.rules):
                place = Located(rule, document, ("rules", index))
                self._add(seen, rule.id, place, "rule", ("id",))
                if seen[rule.id] is place:
                    self.sources.rules.append(place)

    def _guardrails(self, source: SourceFile) -> None:
        document, guardrails = self._decoded(source, GuardrailFile)
        if document and guardrails:
            for name, screen in guardrails.screens.items():
                self._add(self.sources.screens, name, Located(screen, document, ("screens", name)), "screen")
            for name, detector in guardrails.detectors.items():
                place = Located(detector, document, ("detectors", name))
                self._add(self.sources.detectors, name, place, "detector")
            for name, pack in guardrails.signature_packs.items():
                place_ = Located(pack, document, ("signature_packs", name))
                self._add(self.sources.packs, name, place_, "signature pack")
            for name, topic in guardrails.topics.items():
                self._add(self.sources.topics, name, Located(topic, document, ("topics", name)), "topic")

    def _prompt(self, source: SourceFile) -> None:
        text = self._text(source)
        if text is None:
            return
        lines = text.split("\n")
        end = next((n for n, line in enumerate(lines) if n and line.rstrip() == "---"), 0)
        if lines[0].rstrip() != "---" or not end:
            message = "Expected the file to begin with front matter between two lines of '---'."
            remedy = "Begin with '---', then version, title and owner, then '---', then the prompt's text."
            self.sources.incomplete.add("prompts")
            self.problems.append(Problem(code="front_matter", file=source.name, message=message, remedy=remedy))
            return
        document, front = self._settings(source, "\n".join(lines[1:end]), PromptFront, first_line=2)
        body = lines[end + 1 :]
        self.problems.extend(islice(hidden_characters(source.name, body, end + 2), MAX_PROBLEMS))
        if document and front:
            document = msgspec.structs.replace(document, lines=lines)
            digest = hashlib.sha256(source.data).hexdigest()
            prompt = PromptSource(front, "\n".join(body).strip("\n"), digest, end + 2)
            name = source.name.removeprefix("prompts/").removesuffix(".md")
            self._add(self.sources.prompts, name, Located(prompt, document, ()), "prompt")

    def _text(self, source: SourceFile) -> str | None:
        try:
            return source.data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = source.data.count(b"\n", 0, error.start) + 1
            column = error.start - source.data.rfind(b"\n", 0, error.start)
            self.sources.incomplete.add(_folder(source))
            self.problems.append(
                Problem(
                    code="not_utf8",
                    file=source.name,
                    line=line,
                    column=column,
                    message="The file is not UTF-8 text.",
                    remedy="Save it as UTF-8.",
                )
            )
            return None

    def _decoded(self, source: SourceFile, kind: type[S]) -> tuple[Document | None, S | None]:
        text = self._text(source)
        return (None, None) if text is None else self._settings(source, text, kind)

    def _settings(
        self, source: SourceFile, text: str, kind: type[S], *, first_line: int = 1
    ) -> tuple[Document | None, S | None]:
        document, problems = read_yaml(source.name, text, first_line=first_line)
        self.problems.extend(problems)
        value = None
        if document is not None:
            value, problems = decode(document, kind)
            self.problems.extend(problems)
        if value is None:
            self.sources.incomplete.add(_folder(source))
        return document, value

    def _add(self, into: dict[str, Located[T]], name: str, place: Located[T], what: str, at: Path = ()) -> None:
        first = into.get(name)
        if first is None:
            into[name] = place
            return
        mark = first.problem(at, "", "", "", at_key=not at)
        self.problems.append(
            place.problem(
                at,
                "duplicate_id",
                f"There already is a {what} '{name}', at {mark.file}:{mark.line}.",
                "Rename one of the two, or remove it.",
                at_key=not at,
            )
        )


def _folder(source: SourceFile) -> str:
    return source.name.partition("/")[0]
