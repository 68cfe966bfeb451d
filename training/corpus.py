"""Builds training texts from the phrase files in ``phrases/``: deterministic, own words only."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PHRASES = Path(__file__).parent / "phrases"
NAMES = ("OMEGA", "Zed", "MAX", "Nyx", "SAGE-X", "Rogue", "TITAN", "Echo", "KAI", "VOID", "Luzifer", "Freebot")
CODE = (
    "def total(rows):\n    # sum up all amounts\n    return sum(row.amount for row in rows)",
    "INFO 2026-03-01 12:00:01 worker started\nINFO 2026-03-01 12:00:02 queue empty",
    "<table><tr><td>Name</td><td>Price</td></tr><tr><td>Chair</td><td>49</td></tr></table>",
    '{"id": 17, "title": "Weekly report", "owner": "ops", "tags": ["a", "b"]}',
    "| month | sales |\n|---|---|\n| May | 120 |\n| June | 133 |",
    "From: service@shop.example\nTo: team@company.example\nSubject: Status",
)


Phrases = dict[tuple[str, str], list[str]]


class Text(NamedTuple):
    """A training text. ``needle`` is the part that is the attack, for texts that hide one."""

    text: str
    label: int
    context: str
    source: str
    lang: str
    needle: str = ""


def phrases(name: str) -> Phrases:
    """Read a phrase file: ``[language kind]`` headings, one phrase per line."""
    found: Phrases = {}
    key = ("", "")
    for line in (PHRASES / name).read_text(encoding="utf-8").splitlines():
        if (
            line.startswith("[")
            and line.endswith("]")
            and line.count(" ") == 1
            and line[1:3].islower()
            and line[3] == " "
        ):
            language, kind = line[1:-1].split(" ")
            key = (language, kind)
            found.setdefault(key, [])
        elif line and not line.startswith("# "):
            found[key].append(line)
    return found


LANGUAGES = ("en", "de", "fr", "es", "it", "nl")


def attack_texts(seed: int = 7) -> Iterator[Text]:
    """Direct attacks, attacks hidden in documents and tool results, and harmless neighbours of both."""
    rng = random.Random(seed)
    attacks, benign = phrases("attacks.txt"), phrases("benign.txt")
    for lang in LANGUAGES:
        yield from _direct(rng, attacks, lang)
        yield from _hidden(rng, attacks, benign, lang)
        yield from _harmless(rng, benign, lang)


def _lower(phrase: str) -> str:
    return phrase[0].lower() + phrase[1:]


def _fill(rng: random.Random, attacks: Phrases, lang: str, frame: str) -> str:
    override = rng.choice(attacks[lang, "override"])
    at = frame.find("{o}")
    if at > 0 and frame[at - 2] not in ".!:":
        override = _lower(override)
    text = frame.replace("{o}", override).replace("{g}", rng.choice(attacks[lang, "goal"]))
    text = text.replace("{n}", rng.choice(NAMES))
    return text[0].upper() + text[1:]


def _direct(rng: random.Random, attacks: Phrases, lang: str) -> Iterator[Text]:
    for frame in attacks[lang, "frame"] * 8:
        yield Text(_vary(rng, _fill(rng, attacks, lang, frame)), 1, "direct", "own-synth", lang)
    for override in attacks[lang, "override"]:
        yield Text(_vary(rng, override + "."), 1, "direct", "own-synth", lang)
    for phrase in attacks[lang, "extract"] * 3:
        yield Text(_vary(rng, phrase), 1, "direct", "own-synth", lang)
    for phrase in attacks[lang, "persona"] * 3:
        text = phrase.replace("{n}", rng.choice(NAMES))
        if rng.random() < 0.4:
            text += " " + rng.choice(attacks[lang, "persona"]).replace("{n}", rng.choice(NAMES))
        yield Text(text, 1, "direct", "own-synth", lang)


def _hidden(rng: random.Random, attacks: Phrases, benign: Phrases, lang: str) -> Iterator[Text]:
    for frame in attacks[lang, "indirect"] * 8:
        needle = _fill(rng, attacks, lang, rng.choice(attacks[lang, "frame"]) if rng.random() < 0.25 else frame)
        context = rng.choice(("document", "tool_output"))
        if context == "tool_output" and rng.random() < 0.4:
            needle = frame.replace("{g}", rng.choice(attacks[lang, "task"]))
        before = _filler(rng, benign, lang, context, rng.randrange(4))
        after = _filler(rng, benign, lang, context, rng.randrange(3))
        text = "\n".join(part for part in (before, needle, after) if part)
        yield Text(text, 1, context, "own-synth", lang, needle)


def _harmless(rng: random.Random, benign: Phrases, lang: str) -> Iterator[Text]:
    for kind in ("trigger", "security", "general"):
        for phrase in benign[lang, kind] * 3:
            yield Text(_vary(rng, phrase), 0, "direct", "own-synth", lang)
    for _ in range(120):
        yield Text(_filler(rng, benign, lang, "email", rng.randrange(4, 12)), 0, "direct", "own-synth", lang)
        yield Text(_filler(rng, benign, lang, "document", rng.randrange(3, 9)), 0, "document", "own-synth", lang)
        yield Text(_filler(rng, benign, lang, "tool_output", rng.randrange(1, 5)), 0, "tool_output", "own-synth", lang)


def _filler(rng: random.Random, benign: Phrases, lang: str, context: str, count: int) -> str:
    parts = []
    for _ in range(count):
        kind = {
            "email": "email",
            "document": rng.choice(("doc", "doc", "email")),
            "tool_output": rng.choice(("tool", "doc")),
        }[context]
        parts.append(rng.choice(benign[lang, kind]))
        if rng.random() < 0.15:
            parts.append(rng.choice(CODE))
        if context == "tool_output" and rng.random() < 0.5:
            parts.append(_output(rng))
    return rng.choice((" ", "\n", "\n\n")).join(parts)


WORDS = (
    "ignore skip override bypass system admin user prompt rules policy instructions secret token password reset forget "
    "delete send mail assistant agent developer mode debug restricted previous update execute grant hidden reveal"
).split()


def _output(rng: random.Random) -> str:
    """Return lines as tools print them, with words of attacks where they are harmless."""
    one, two, three = rng.sample(WORDS, 3)
    number = rng.randrange(10, 10**6)
    return rng.choice(
        (
            f"{number}  {one}-{two}  Running  {number % 9}  {number % 60}d\n{number + 1}  {three}-job  Running  0  2d",
            f"| id | name | {one} |\n| {number} | {two} {three} | true |",
            f'{{"id": {number}, "event": "{one}_{two}", "actor": "{three}", "ok": true}}',
            f"INFO {one}.{two}: {three} finished in {number} ms\nWARN {two}: retry {number % 7}",
            f"PASS test_{one}_{two}\nFAIL test_{three}: expected {number} got {number + 1}",
            f"--{one}-{two}  {three} all entries (default: off)\n--{three}  see the manual",
            f"{number} rows affected. Note: column '{one}_{two}' was renamed to '{three}'.",
            f"From: {one}@corp.example\nSubject: Re: {two} {three}\n\nThe {one} {two} applies until the next release.",
            f"diff --git a/{one}.py b/{one}.py\n- {two} = None\n+ {two} = {three}()",
            f"user requested to {one} the {two}; status: done; {three} unchanged",
            f"Deprecated: option {one} will be removed, use {two} instead. See the {three} manual.",
            f"{number} | {one} previous entry, see {two}\n{number + 2} | {three} check done",
        )
    )


def _vary(rng: random.Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.1:
        return text.lower()
    if roll < 0.15:
        return text.upper()
    if roll < 0.25:
        return text.rstrip(".!")
    return text


def harm_texts(kinds: tuple[str, str], seed: int = 3) -> Iterator[Text]:
    """Sentences of ``harm.txt``: the first kind is harmful, the second harmless."""
    rng = random.Random(seed)
    found = phrases("harm.txt")
    for lang in LANGUAGES:
        for label, kind in ((1, kinds[0]), (0, kinds[1])):
            for phrase in found[lang, kind]:
                groups = found[lang, "group"] if "{g}" in phrase else [""]
                for group in groups[:6]:
                    text = phrase.replace("{g}", group)
                    yield Text(_vary(rng, text[0].upper() + text[1:]), label, "direct", "own-synth", lang)
