"""Instructions that try to take over: certain signatures and an override grammar in six languages.

What a rule cannot know, the learned models judge. Here a verb of overriding must meet a noun of instruction within one
clause; a question about the phrase, a quotation or a negation is a mention, not a use, and scores low. The same words
weigh more in a document or a tool result, which has no business addressing an assistant.
"""

from collections.abc import Callable

import msgspec

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.injection_patterns import override_patterns
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.mentions import Mentions, recognises
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
    "rejects", "said", "says", "story", "article", "paper", "blog", "attack", "angriff", "attaque", "ataque",
    "attacco", "aanval", "research",
    "translate", "ubersetz", "tradui", "traduc", "vertaal", "how do i", "how can i", "why do", "why does",
)  # fmt: skip
_NEGATIONS = (
    "don't", "do not", "never", "not to", "nicht", "niemals", "ne pas", "n'", "jamais", "nunca", "no ", "non ",
    "mai ", "niet", "nooit", "without", "ohne", "shouldn't", "should not", "must not", "cannot",
)  # fmt: skip
_QUOTES = "\"'`\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019"
_UNTRUSTED = frozenset({"document", "tool_output"})
_CLEAR = 0.5
_WEAK = 0.3
_WEAK_BONUS = 0.05
_SUPPORT = 0.2
_VERB_FIRST = (
    "override-",
    "reveal-",
    "forget-all",
    "act-unrestricted",
    "extract-history",
    "exfiltrate",
    "pretend-mode",
)
_ORDER_WORDS = frozenset({
    "please", "and", "then", "now", "just", "also", "to", "must", "should", "will", "you", "first", "instead", "simply",
    "immediately", "kindly", "always", "but", "or", "so", "shall", "can", "could", "would", "need", "hereby",
    "only", "next",
    "bitte", "und", "dann", "nun", "jetzt", "sofort", "oder", "zuerst", "du", "sie", "aber", "kannst", "sollst",
    "et", "puis", "maintenant", "donc", "alors", "tu", "vous", "dois", "devez", "ensuite", "peux", "pouvez", "d'abord",
    "y", "luego", "ahora", "entonces", "debes", "por", "favor", "puedes", "primero", "e", "poi", "ora", "adesso",
    "quindi",
    "devi", "puoi", "prima", "en", "dan", "nu", "alsjeblieft", "moet", "je", "u", "eerst", "graag", "kun", "me",
    "mir", "mi",
})  # fmt: skip
_MENTION_FACTOR = 0.4
_QUOTED = 0.28  # below what supports another sign
_UNTRUSTED_BONUS = 0.15
_UNLIKELY = 0.25
_FLOOR = 0.4
_MOST = 0.5
_CODED = ("decode-and-obey", "payload-split")  # the model does not see what only an instruction to decode gives away


class InjectionRules:
    """Signatures and override grammar against direct and indirect prompt injection.

    Args:
        second: How likely an attack the whole text is to whoever reads all of it (0 to 1). Where that is next to
            impossible, the words that a rule knows mean something else ("drop all previous iptables rules"), and the
            rule's score falls, down to less than half.
    """

    name = "injection"
    version = "2"

    def __init__(self, second: Callable[[Passage], float] | None = None) -> None:
        self._second = second
        self._patterns = PatternSet(
            [_plain(pattern) for pattern in (*override_patterns(), *read_patterns("injection"))]
        )

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return findings whose score already weighs provenance, quotation, question and negation."""
        text = Text(unaccented(passage.text))
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return self._weighed(passage, text, candidates)

    def _weighed(self, passage: Passage, text: Text, candidates: list[int]) -> tuple[Finding, ...]:
        found: list[Finding] = []
        untrusted = passage.provenance in _UNTRUSTED
        mentions = None if untrusted else Mentions(passage.text)
        for index in candidates:
            pattern = self._patterns.patterns[index]
            for match in self._patterns.matches(index, text):
                start, end = text.point(match.start()), text.point(match.end())
                start, end = _tightened(passage.text, start, end)
                score = pattern.score
                kind = pattern.type
                if pattern.id.startswith(_VERB_FIRST) and not _commands(passage.text, start):
                    score *= _MENTION_FACTOR  # "employees who ignore safety rules" orders nobody about
                if untrusted:
                    score = min(1.0, score + (_UNTRUSTED_BONUS if score >= _CLEAR else _WEAK_BONUS))
                    kind = "indirect_injection" if kind == "prompt_injection" else kind
                elif kind == "indirect_injection":
                    score *= 0.6  # a user may well talk about messages to assistants
                if mentions is not None and mentions.quoted(start, end):
                    score = min(score * _MENTION_FACTOR, _QUOTED)  # two quotations do not support each other
                elif not untrusted and pattern.id.startswith("reveal-") and recognises(passage.text[start:end]):
                    score *= _MENTION_FACTOR
                elif (mentions is None or not mentions.ordered) and _mentioned(passage.text, start, end):
                    score *= _MENTION_FACTOR if not untrusted else 0.7
                found.append(Finding(self.name, kind, start, end, round(score, 3), rule=pattern.id))
        supported = _supported(found)
        return supported if mentions is not None and mentions.ordered else self._doubted(passage, supported)

    def _doubted(self, passage: Passage, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Lower scores where whoever reads the whole text sees no attack; a text that is little else needs no doubt."""
        doubtful = {
            finding.rule
            for finding in found
            if finding.score >= _CLEAR
            and not finding.rule.startswith(_CODED)
            and finding.end - finding.start < _MOST * len(passage.text)
        }
        if self._second is None or not doubtful:
            return found
        factor = _FLOOR + (1 - _FLOOR) * min(1.0, self._second(passage) / _UNLIKELY)
        return tuple(
            msgspec.structs.replace(finding, score=round(finding.score * factor, 3))
            if finding.rule in doubtful
            else finding
            for finding in found
        )


def _plain(pattern: Pattern) -> Pattern:
    return msgspec.structs.replace(
        pattern,
        expression=unaccented(pattern.expression),
        trigger=unaccented(pattern.trigger),
        also=unaccented(pattern.also),
    )


def _tightened(text: str, start: int, end: int) -> tuple[int, int]:
    """Drop the boundary characters that the grammar had to consume."""
    while start < end and not (text[start].isalnum() or text[start] in "<[#=-*/"):
        start += 1
    while end > start and not (text[end - 1].isalnum() or text[end - 1] in ">]:"):
        end -= 1
    return start, end


def _commands(text: str, start: int) -> bool:
    """Whether a verb stands where an order has it: at the start of a clause, or after "please", "and", "must"..."""
    window = before(text, start, 24).rstrip(" ")
    if not window or not window[-1].isalnum():
        return True
    return window.rsplit(maxsplit=1)[-1].strip("'\"([") in _ORDER_WORDS


def _supported(found: list[Finding]) -> tuple[Finding, ...]:
    """Raise weak signs that stand together: two different ones are seldom chance."""
    signs = {finding.rule.split("-", 1)[0] for finding in found if finding.score >= _WEAK}
    if len(signs) < 2:  # noqa: PLR2004 - the sign itself and one more
        return tuple(found)
    return tuple(
        msgspec.structs.replace(f, score=round(min(1.0, f.score + _SUPPORT), 3)) if f.score >= _WEAK else f
        for f in found
    )


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
