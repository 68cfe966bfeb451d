"""Measuring texts one by one, deciding per finding, and knowing at the end what follows for the whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from greffier.core.context import RiskClass
from greffier.core.errors import Code
from greffier.core.rulings import Deny, Finding
from greffier.guardrails import registry
from greffier.guardrails.conversation_risk import ConversationRisk
from greffier.guardrails.detectors.leak import prompt_leaks
from greffier.guardrails.engine import Engine, is_entity
from greffier.guardrails.links import LinkHosts
from greffier.guardrails.memory import Memory
from greffier.guardrails.normalise import Views, views
from greffier.guardrails.outside import Outside
from greffier.guardrails.ports import Measured, OutsideDetector, Passage, Provenance
from greffier.guardrails.prompt import Placed
from greffier.guardrails.redaction import Edit, Pseudonyms, apply, apply_json
from greffier.guardrails.rules import REMOVING, WHERE, Decided, RuleList, refusal
from greffier.guardrails.seams import SEAMED, Seam, found_over
from greffier.guardrails.settings import ScreenSettings
from greffier.guardrails.shape import Shape
from greffier.guardrails.view import View

Direction = Literal["input", "output"]
Extra = Callable[[Passage], Iterable[Finding]]
"""Looks at a text beside the detectors, with knowledge that they lack: the conversation, or the screen's settings."""


class Screen:
    """One screen of the workspace with its detectors built.

    Args:
        name: As use cases refer to it.
        settings: As written.
        engine: The detectors in this process; each direction runs those that its rules can act on.
        outside: Those in others; they are asked about a whole request at once, before the rules decide.
    """

    def __init__(
        self, name: str, settings: ScreenSettings, engine: Engine, outside: Sequence[OutsideDetector] = ()
    ) -> None:
        self.name = name
        self.settings = settings
        self.engine = engine
        self.outside = tuple(outside)
        self.memory = Memory()
        self.rules: dict[Direction, RuleList] = {
            "input": RuleList(settings.input),
            "output": RuleList(settings.output),
        }
        self.engines: dict[Direction, Engine] = {
            direction: engine.without([name for name, kinds in registry.JUDGES.items() if not rules.concerns(kinds)])
            for direction, rules in self.rules.items()
        }
        self.links = None if settings.link_hosts is None else LinkHosts(settings.link_hosts)
        self.shape = None if settings.structure is None else Shape(settings.structure)
        self.extras: tuple[Extra, ...] = () if self.shape is None else (self.shape.examine,)
        self.watches_arguments = self.rules["output"].concerns(("untrusted_argument",))
        self.seam_engine = engine.only(SEAMED)
        self.watches_leaks = "leak" in (settings.detectors or registry.DEFAULT)


class Sieve:
    """Measures texts one by one, decides per finding and edits; knows at the end what follows for the whole."""

    def __init__(
        self,
        screen: Screen,
        direction: Direction,
        risk_class: RiskClass,
        pseudonyms: Pseudonyms,
        placed: Placed | None = None,
        *,
        outside: Outside | None = None,
        approved: bool = False,
        tenant: str = "",
        extras: tuple[Extra, ...] | None = None,
    ) -> None:
        self._screen = screen
        self._extras = screen.extras if extras is None else extras
        self._tenant = tenant
        self._approved = approved
        self.outside = outside or Outside()
        self._direction: Direction = direction
        self._risk_class = risk_class
        self._pseudonyms = pseudonyms
        self._placed = placed
        self._visits = 0
        self._split: dict[int, list[Finding]] = {}
        risk = screen.settings.conversation if direction == "input" else None
        self._risk = None if risk is None else ConversationRisk(risk)
        self.decided: list[Decided] = []
        self.failed: list[str] = []

    def measure(self, text: str, provenance: Provenance, lang: str = "") -> list[Decided]:
        """Measure one text; the findings are the caller's to keep."""
        passage = Passage(text, provenance, lang)
        placed = self._placed if self._screen.watches_leaks else None
        read = None if placed is None else views(text)
        measured = self._measured(passage, read)
        if self._screen.outside:
            measured = self.outside.joined(passage, measured)
        if measured.failed:
            self.failed += measured.failed
        findings = list(measured.findings)
        if placed is not None and read is not None:
            findings += self._leaks(text, placed, read[0])
        if self._direction == "output" and self._screen.links is not None:
            findings += self._screen.links.examine(text)
        for extra in self._extras:
            findings += extra(passage)
        rules = self._screen.rules[self._direction]
        return [rules.decide(finding, provenance) for finding in findings]

    def look_over(self, joined: Sequence[Seam]) -> None:
        """Look for what was split over the texts that `sift` is about to visit, in the order of its visits."""
        found: dict[int, list[Finding]] = {}
        for seam in joined:
            measured = self._measured_joined(seam.passage)
            if measured.failed:
                self.failed += measured.failed
            for visit, finding in found_over(seam, measured, self._screen.seam_engine.measure):
                known = found.setdefault(visit, [])
                if finding not in known:
                    known.append(finding)
        self._split = found

    def add_up(self) -> None:
        """Decide about the conversation as a whole, once all its texts were sifted."""
        finding = None if self._risk is None else self._risk.finding()
        if finding is not None:
            self.note(finding, "user")

    def note(self, finding: Finding, provenance: Provenance) -> None:
        """Decide about a finding that stands in no single text, and keep it."""
        self.decided.append(self._screen.rules[self._direction].decide(finding, provenance))

    def _measured(self, passage: Passage, read: Views | None) -> Measured:
        """What the detectors of this process find; texts that a tenant's requests repeat are measured once."""
        screen = self._screen
        place = screen.memory.place(self._tenant, passage) if self._tenant else None
        engine = screen.engines[self._direction]
        if place is None:
            return engine.measure(passage, read)
        measured = screen.memory.recall(place)
        if measured is None:
            measured = engine.measure(passage, read)
            screen.memory.keep(place, measured)
        return measured

    def _measured_joined(self, passage: Passage) -> Measured:
        """What a joined passage holds; only detectors of exact forms look at it."""
        screen = self._screen
        if not screen.engine.detectors:  # they work in the guard service, which was asked about it too
            return self.outside.joined(passage, Measured())
        place = screen.memory.place(f"{self._tenant}\0joined", passage) if self._tenant else None
        measured = None if place is None else screen.memory.recall(place)
        if measured is None:
            measured = screen.seam_engine.measure(passage)
            if place is not None:
                screen.memory.keep(place, measured)
        return measured

    @staticmethod
    def _leaks(text: str, placed: Placed, decoded: tuple[View, ...]) -> Iterator[Finding]:
        """Copies of the prompt in the text as written and in its decoded views."""
        yield from prompt_leaks(text, placed.canary, placed.shingles)
        for view in decoded:
            for finding in prompt_leaks(view.text, placed.canary, placed.shingles):
                start, end = view.origin(finding.start, finding.end)
                yield msgspec.structs.replace(finding, start=start, end=end, view=view.name)

    def edits(self, text: str, decided: list[Decided]) -> list[Edit]:
        """What the decisions change in ``text``."""
        edits = []
        for item in decided:
            if item.action in REMOVING:
                finding = item.finding
                edits.append(
                    Edit(finding.start, finding.end, self._replacement(item, text[finding.start : finding.end], text))
                )
        return edits

    def everything(self, text: str, provenance: Provenance) -> list[Decided]:
        """What the next text in the order of visits holds, parts of what was split included."""
        decided = self.measure(text, provenance)
        if self._split:
            rules = self._screen.rules[self._direction]
            decided += [rules.decide(finding, provenance) for finding in self._split.get(self._visits, ())]
            self._visits += 1
        return decided

    def sift(self, text: str, provenance: Provenance) -> str:
        """Measure, decide, and return the text to send on (the same object if nothing changes)."""
        decided = self.everything(text, provenance)
        if not decided:
            return text
        if self._risk is not None:
            self._risk.add(text, provenance, decided)
        self.decided += decided
        edits = self.edits(text, decided)
        if not edits:
            return text
        return apply_json(text, edits) if provenance == "tool_call" else apply(text, edits)

    def _replacement(self, item: Decided, original: str, text: str) -> str:
        if item.action == "pseudonymise" and is_entity(item.finding):
            return self._pseudonyms.token(item.finding.type, original, text)
        return f"[{item.finding.type.upper().replace(':', '_')}]"

    def refused(self) -> Deny | None:
        """The refusal that follows from all texts together, or None."""
        output = self._direction == "output"
        unavailable = self._unavailable()
        if unavailable is not None:
            return unavailable
        return refusal(self.decided, output=output, approved=self._approved)

    def _unavailable(self) -> Deny | None:
        if not self.failed:
            return None
        names = sorted(set(self.failed))
        where = WHERE["output" if self._direction == "output" else "user"]
        marks = [
            Finding(name, "detector_unavailable", 0, 0, 1.0, rule="on_unavailable", action="flag", where=where)
            for name in names
        ]
        setting = self._screen.settings.on_unavailable
        if setting == "flag" or (setting == "by_risk_class" and self._risk_class == "minimal"):
            seen = {(item.finding.detector, item.finding.type) for item in self.decided}
            self.decided += [Decided(m, None) for m in marks if (m.detector, m.type) not in seen]
            return None
        findings = tuple(item.finding for item in self.decided) + tuple(
            msgspec.structs.replace(mark, action="deny") for mark in marks
        )
        return Deny(
            Code.GUARDRAIL_UNAVAILABLE,
            f"{self._screen.name}.on_unavailable",
            f"The detector '{names[0]}' could not measure.",
            findings=findings,
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, with what was done."""
        return tuple(item.finding for item in self.decided)

    @property
    def data_classes(self) -> tuple[str, ...]:
        """Classes of data that no edit removed."""
        return tuple(
            sorted({i.finding.data_class for i in self.decided if i.finding.data_class and i.action not in REMOVING})
        )

    @property
    def on_premises_only(self) -> bool:
        """Whether a rule confines the request."""
        return any(item.action == "on_premises" for item in self.decided)
