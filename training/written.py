"""Texts written for this project: read from ``texts/``, and put together from its building blocks. Deterministic."""

import random
import re
from collections.abc import Iterator

from authored import authored, context_of
from corpus import LANGUAGES, NAMES, Phrases, Text

_HOSTS = ("post.example", "north-mail.example", "files.invalid", "kanzlei.example", "box.test", "collect.example")
_USERS = ("office", "k.winter", "backup", "info", "m_rossi", "service22", "anna")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n")


def whole_texts(subject: str = "injection") -> Iterator[Text]:
    """Texts as their authors wrote them; each file is a source."""
    for row in authored(f"{subject}_"):
        yield Text(row.text, row.label, context_of(row.kind), row.source, row.lang)


def blocks() -> Phrases:
    """Building blocks by ``(language, label and kind)``."""
    found: Phrases = {}
    for row in (*authored("blocks_"), *authored("notes")):
        found.setdefault((row.lang, f"{row.label} {row.kind}"), []).append(row.text)
    return found


def built_texts(carriers: dict[str, list[str]], seed: int = 11) -> Iterator[Text]:
    """Frames filled with requests, and orders planted in harmless carriers; as many harmless neighbours of both."""
    rng = random.Random(seed)
    parts = blocks()
    for lang in LANGUAGES:
        yield from _framed(rng, parts, lang)
        yield from _planted(rng, parts, lang, carriers[lang])


def _framed(rng: random.Random, parts: Phrases, lang: str) -> Iterator[Text]:
    for label, subject in ((1, "harm"), (0, "task")):
        asked = parts[lang, f"{label} {subject}"]
        for frame in parts[lang, f"{label} frame"]:
            for request in rng.sample(asked, min(4 if label else 8, len(asked))):
                text = frame.replace("{h}", request).replace("{n}", rng.choice(NAMES))
                yield Text(_loosely(rng, text), label, "direct", "blocks", lang)
    for request in parts[lang, "0 task"]:
        yield Text(_loosely(rng, request[0].upper() + request[1:] + "?"), 0, "direct", "blocks", lang)
    for kind in ("override", "extract", "authority", "obeyed"):
        for text in parts[lang, f"1 {kind}"]:
            yield Text(_loosely(rng, text), 1, "direct", "blocks", lang)
            other = rng.choice(parts[lang, f"1 {rng.choice(('override', 'extract'))}"])
            yield Text(_loosely(rng, f"{text} {other}"), 1, "direct", "blocks", lang)
    for text in parts[lang, "1 override"]:
        request = rng.choice(parts[lang, "1 harm"])
        yield Text(_loosely(rng, f"{text} {request[0].upper()}{request[1:]}?"), 1, "direct", "blocks", lang)


def _planted(rng: random.Random, parts: Phrases, lang: str, carriers: list[str]) -> Iterator[Text]:
    for label, kind, times in ((1, "planted", 6), (0, "note", 10)):
        for sentence in parts[lang, f"{label} {kind}"] * times:
            mail = f"{rng.choice(_USERS)}@{rng.choice(_HOSTS)}"
            address = f"https://{rng.choice(_HOSTS)}/{rng.choice(_USERS)}"
            needle = sentence.replace("{m}", mail).replace("{u}", address)
            if rng.random() < 0.2:
                needle = needle.lower()
            context = rng.choice(("document", "tool_output"))
            text = _plant(rng, rng.choice(carriers), needle, context)
            yield Text(text, label, context, "blocks", lang, needle if label else "")


def _plant(rng: random.Random, carrier: str, needle: str, context: str) -> str:
    """Put a sentence into a text, the way somebody would who wants it overlooked or not."""
    pieces = _SENTENCE.split(carrier)[:14]
    at = rng.randint(max(0, len(pieces) // 3), len(pieces))
    joint = "\n" if "\n" in carrier else " "
    before, after = joint.join(pieces[:at]), joint.join(pieces[at:])
    planted = rng.choice(
        (
            needle,
            needle,
            f"({needle})",
            f"<!-- {needle} -->",
            f'<span style="display:none">{needle}</span>',
            f"\n{needle}\n",
            f"\n\n{needle}\n\n",
            f"-- {needle} --",
            f"*** {needle} ***",
            f"PS {needle}",
            f"# {needle}\n",
            f"[{needle}]",
        )
    )
    if context == "tool_output" and rng.random() < 0.6:
        inner = f"{before[-200:]} {needle} {after[:200]}".strip() if rng.random() < 0.5 else needle
        inner = inner.replace('"', "'").replace("\n", " ")
        return rng.choice(
            (
                f'{{"id": {rng.randrange(9999)}, "status": "ok", "note": "{inner}", "total": {rng.randrange(99)}}}',
                (
                    f'{{"results": [{{"title": "{before[:40]}", "snippet": "{inner}"}}, '
                    f'{{"title": "-", "snippet": "{after[:60]}"}}]}}'
                ),
                f"{rng.randrange(9999)};{before[:30]};{inner};{after[:30]}",
                (
                    f"10:0{rng.randrange(9)} INFO started\n10:1{rng.randrange(9)} WARN {inner}\n"
                    f"10:2{rng.randrange(9)} INFO done"
                ),
                f"1) {before[:80]} 2) {inner} 3) {after[:80]}",
            )
        )
    return joint.join(part for part in (before, planted, after) if part)


def _loosely(rng: random.Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.12:
        return text.lower()
    if roll < 0.2:
        return text.lower().rstrip(".!?")
    if roll < 0.23:
        return text.upper()
    return text
