"""The override grammar: from words per language to patterns.

The words are in ``rulepacks/override_grammar.toml``, written with accents and compared without, because attackers type
without.
"""

from collections.abc import Iterator

from greffier.guardrails.matching import Pattern
from greffier.guardrails.packs import read_pack

_GAP = r"[^.!?\n]{0,40}?"
_OTHER = r"[^\p{L}]"
_WORD = "[0-9A-Za-z_]"  # what RE2 reads as \w; written out, Hyperscan compiles it in a hundredth of the time


def override_patterns() -> Iterator[Pattern]:
    """Per language: an order to override instructions, and a request to show the hidden ones."""
    for lang, words in read_pack("override_grammar")["language"].items():
        verbs, nouns, near = words["override_verbs"], words["override_nouns"], words["override_near"]
        yield Pattern(
            f"override-{lang}",
            # "ignore all the previous instructions", or "ignore instructions given above"
            rf"(?:^|{_OTHER})(?:{verbs})\b{_GAP}(?:^|{_OTHER})(?:{near})\b{_GAP}(?:^|{_OTHER}|system)(?:{nouns})(?:{_OTHER}|$)"
            rf"|(?:^|{_OTHER})(?:{verbs})\b[^.!?\n]{{0,25}}?{_OTHER}(?:{nouns}){_OTHER}[^.!?\n]{{0,15}}?(?:{near})(?:{_OTHER}|$)",
            trigger=_first_words(verbs),
            ignore_case=True,
            score=0.92,
            type="prompt_injection",
        )
        yield Pattern(
            f"reveal-{lang}",
            rf"(?:^|{_OTHER})(?:{words['reveal_verbs']}){_OTHER}[^.!?\n]{{0,60}}?(?:{words['reveal_nouns']})(?:{_OTHER}|$)",
            trigger=words["reveal_nouns"].replace(r"\w", _WORD),
            also=_first_words(words["reveal_verbs"]),
            ignore_case=True,
            score=0.8,
            type="prompt_injection",
        )


def _first_words(verbs: str) -> str:
    """Cut verbs whose object stands inside them ("lass ... außer acht") down to their first word."""
    return "|".join(verb.split(" .{0,", 1)[0] for verb in verbs.split("|"))
