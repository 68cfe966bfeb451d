"""Instructions that try to take over: certain signatures and an override grammar in six languages.

What a rule cannot know, the learned models judge. Here a verb of overriding must meet a noun of instruction within one
clause; a question about the phrase, a quotation or a negation is a mention, not a use, and scores low. The same words
weigh more in a document or a tool result, which has no business addressing an assistant.
"""

from collections.abc import Iterator

import msgspec

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.injection_patterns import override_patterns
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, names, unaccented

_MENTIONS = (
    "what does", "what is a", "what are", "explain", "meaning of", "mean", "phrase", "sentence", "example", "such as",
    "detect", "prevent", "protect", "defend",
    'like "', "like '", "called", "was bedeutet", "bedeutet", "erklar", "beispiel", "satz", "schutz", "erkenn",
    "que signifie", "signifie", "explique", "exemple", "phrase",
    "detecter", "que significa", "significa", "explica", "ejemplo", "frase", "cosa significa", "spiega", "esempio",
    "wat betekent", "betekent", "leg uit", "voorbeeld", "zin", "herken",
    "article", "paper", "blog", "attack", "angriff", "attaque", "ataque", "attacco", "aanval", "research",
    "translate", "ubersetz", "tradui", "traduc", "vertaal", "how do i", "how can i", "why do", "why does",
)  # fmt: skip
_NEGATIONS = (
    "don't", "do not", "never", "not to", "nicht", "niemals", "ne pas", "n'", "jamais", "nunca", "no ", "non ",
    "mai ", "niet", "nooit", "without", "ohne", "shouldn't", "should not", "must not", "cannot",
)  # fmt: skip
_QUOTES = "\"'`\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019"
_UNTRUSTED = frozenset({"document", "tool_output"})
_MENTION_FACTOR = 0.4
_UNTRUSTED_BONUS = 0.15


class InjectionRules:
    """Signatures and override grammar against direct and indirect prompt injection."""

    name = "injection"
    version = "1"

    def __init__(self) -> None:
        self._patterns = PatternSet(
            [_plain(pattern) for pattern in (*override_patterns(), *read_patterns("injection"))]
        )

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return findings whose score already weighs provenance, quotation, question and negation."""
        text = Text(unaccented(passage.text))
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return tuple(self._weighed(passage, text, candidates))

    def _weighed(self, passage: Passage, text: Text, candidates: list[int]) -> Iterator[Finding]:
        untrusted = passage.provenance in _UNTRUSTED
        for index in candidates:
            pattern = self._patterns.patterns[index]
            for match in self._patterns.matches(index, text):
                start, end = text.point(match.start()), text.point(match.end())
                start, end = _tightened(passage.text, start, end)
                score = pattern.score
                kind = pattern.type
                if untrusted:
                    score = min(1.0, score + _UNTRUSTED_BONUS)
                    kind = "indirect_injection" if kind == "prompt_injection" else kind
                elif kind == "indirect_injection":
                    score *= 0.6  # a user may well talk about messages to assistants
                if _mentioned(passage.text, start, end):
                    score *= _MENTION_FACTOR if not untrusted else 0.7
                yield Finding(self.name, kind, start, end, round(score, 3), rule=pattern.id)


def _plain(pattern: Pattern) -> Pattern:
    return msgspec.structs.replace(
        pattern, expression=unaccented(pattern.expression), trigger=unaccented(pattern.trigger)
    )


def _tightened(text: str, start: int, end: int) -> tuple[int, int]:
    """Drop the boundary characters that the grammar had to consume."""
    while start < end and not (text[start].isalnum() or text[start] in "<[#=-*/"):
        start += 1
    while end > start and not (text[end - 1].isalnum() or text[end - 1] in ">]:"):
        end -= 1
    return start, end


def _mentioned(text: str, start: int, end: int) -> bool:
    """Whether the words are talked about: quoted, negated, or the object of a question."""
    window = before(text, start, 70)
    sentence = window[max(window.rfind(mark) for mark in ".!?\n") + 1 :]
    quoted = any(quote in text[max(0, start - 3) : start] for quote in _QUOTES) and any(
        quote in text[end : end + 25] for quote in _QUOTES
    )
    if quoted and (names(sentence, _MENTIONS) or names(after(text, end, 60), _MENTIONS) or "?" in text[end : end + 40]):
        return True
    if any(negation in sentence[-14:] for negation in _NEGATIONS):
        return True
    return names(sentence, _MENTIONS) and "?" in text[end : end + 80]
