"""What a screen asks of the form of texts: language, length, patterns, and that answers quote what they were given.

These look at a text as written, never at its decoded views, and they need what one text does not tell (the
conversation, what of an answer has already left). So the sieve asks them in the gateway, whichever process measures
the rest.
"""

from collections.abc import Iterator, Sequence

from greffier.core.chat import ChatRequest
from greffier.core.rulings import Finding
from greffier.guardrails.conversation import rewrite_request
from greffier.guardrails.detectors.form import FormPatterns, Length, Size
from greffier.guardrails.detectors.grounding import Grounding
from greffier.guardrails.detectors.language import Languages
from greffier.guardrails.ports import Detector, Passage, Provenance
from greffier.guardrails.prompt import Placed
from greffier.guardrails.settings import StructureSettings

_FROM_OUTSIDE = frozenset({"user", "document", "tool_output"})


class Shape:
    """The form that one screen asks for, compiled.

    Raises:
        GreffierError: A pattern cannot be used.
        DetectorError: The profile of languages cannot be loaded.
    """

    def __init__(self, settings: StructureSettings) -> None:
        self._settings = settings
        shared: tuple[Detector, ...] = (Languages(settings.languages),) if settings.languages else ()
        self._input = (*shared, *_of(settings, "input"))
        self._output = (*shared, *_of(settings, "output"))
        self.answer_length = None if settings.output is None else Length(settings.output)

    @property
    def needs_whole_answers(self) -> bool:
        """Whether an answer can only be judged when it is complete."""
        required = any(p.must == "match" and p.direction == "output" for p in self._settings.patterns.values())
        return required or self._settings.grounding is not None

    def examine(self, passage: Passage) -> Iterator[Finding]:
        """Findings about the form of one text."""
        if passage.provenance == "output":
            detectors = self._output
        elif passage.provenance in _FROM_OUTSIDE:
            detectors = self._input
        else:
            return
        for detector in detectors:
            yield from detector.examine(passage)

    def examine_window(self, passage: Passage) -> Iterator[Finding]:
        """The same about a part of an answer, whose length says nothing: `too_long` counts the whole."""
        for detector in self._output if passage.provenance == "output" else ():
            if not isinstance(detector, Length):
                yield from detector.examine(passage)

    def grounding(self, request: ChatRequest, placed: Placed | None) -> Grounding | None:
        """The sources of a conversation, if answers shall be held to them; the gateway's own prompt is one."""
        settings = self._settings.grounding
        if settings is None:
            return None
        ours = placed.request.messages[:1] if placed is not None and placed.prompt else ()
        texts = [m.content for m in ours if isinstance(m.content, str)] if "system" in settings.sources else []

        def collect(text: str, provenance: Provenance) -> str:
            if provenance in settings.sources:
                texts.append(text)
            return text

        rewrite_request(request, collect)
        return Grounding(settings, texts)

    def grounded_in(self, sources: Sequence[str]) -> Grounding | None:
        """The same with sources given one by one."""
        settings = self._settings.grounding
        return None if settings is None or not sources else Grounding(settings, sources)

    def too_long(self, size: Size) -> Finding | None:
        """The finding about an answer that has grown beyond its limit while it streams."""
        rule = self.answer_length.exceeded(size) if self.answer_length is not None else ""
        return Finding("length", "length", 0, 0, 1.0, rule=rule) if rule else None


def _of(settings: StructureSettings, direction: str) -> tuple[Detector, ...]:
    limits = settings.input if direction == "input" else settings.output
    patterns = {name: pattern for name, pattern in settings.patterns.items() if pattern.direction == direction}
    length: tuple[Detector, ...] = (Length(limits),) if limits is not None else ()
    return (*length, FormPatterns(patterns)) if patterns else length
