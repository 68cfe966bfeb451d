"""The answer to a data subject as a letter: what ``answer.json`` says, in words and dates for whoever asked.

Everything in the answer is in the letter, also what a later version of a store adds: what this page has no words for is
shown by its name and value.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

Answer = Mapping[str, Any]


class Block(msgspec.Struct, frozen=True):
    """A piece of the letter.

    Attributes:
        kind: ``quote`` is somebody's own words, line breaks included.
        text: What it says.
        about: For a ``term``: what it says it of.
    """

    kind: Literal["title", "heading", "entry", "text", "term", "quote"]
    text: str
    about: str = ""


_STORES = {
    "content": "What you wrote, and what you were answered",
    "journal": "Records of your requests",
    "keys": "Access keys in your name",
    "consents and objections": "Your consents, objections and restrictions",
    "cases of data protection": "Your earlier requests, and holds that concern you",
}
_PARTS = {
    "prompt": "You wrote",
    "answer": "You were answered",
    "comment": "You commented",
    "feedback": "You commented",
    "rectification": "You had corrected",
    "decision": "It was decided about what you contested",
}
_WORDS = {
    "use_case": "Used by",
    "purpose": "Purpose",
    "lawful_basis": "Lawful basis",
    "model": "Model",
    "provider": "Run by",
    "region": "Where",
    "rules": "Rules of access that applied",
    "found": "Noticed in the text",
    "outcome": "Result",
    "code": "Reason",
    "rule": "Rule",
    "rating": "Your rating",
    "feedback": "Your feedback",
    "channel": "How you said it",
    "text_version": "Version of the text you were shown",
    "proof": "Reference",
    "reason": "Reason",
    "label": "Label",
    "groups": "Groups",
    "roles": "Roles",
    "attributes": "Attributes",
    "key": "Number of the key",
    "expires": "Ends",
    "what": "What",
    "state": "State",
}
_RESULTS = {"answered": "answered", "denied": "refused", "failed": "failed", "cancelled": "broken off"}
_ACTIONS = {"redact": "blacked out", "pseudonymise": "replaced", "deny": "refused", "flag": "noted", "allow": "allowed"}
_SPEAKERS = {"user": "", "assistant": "Answer: ", "system": "Instruction: ", "tool": "Tool: "}
_LEFT_OUT = frozenset({"request", "ts_ms", "stored_ms", "at_ms", "received_ms", "number", "tenant", "origin"})
_TITLES = {"access": "Your personal data", "port": "Your data in portable form"}
_ARTICLES = {"access": "Art. 15", "port": "Art. 20"}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def blocks(answer: Answer, timezone: str) -> Iterator[Block]:
    """The letter, from top to bottom.

    Args:
        answer: As `access.build_answer` or `access.portable` made it.
        timezone: Where the controller is: days and times are told as they are there.
    """
    zone = ZoneInfo(timezone)
    yield Block("title", _TITLES[answer["type"]])
    yield from _head(answer, zone, timezone)
    titles = {processing["use_case_id"]: processing["use_case"] for processing in answer.get("processing", ())}
    for processing in answer.get("processing", ()):
        yield Block("heading", processing["use_case"])
        for item, meaning in answer["items"].items():
            yield Block("term", _listed(processing[item]), f"({item}) {meaning}")
        safeguards = _listed(processing["safeguards_15_2"]) or "No transfer to a third country is stated."
        yield Block("term", safeguards, "Safeguards of transfers to third countries (Art. 15(2)).")
    if answer.get("retired_use_cases"):
        yield Block("heading", "Uses that no longer exist")
        told = "Your data was also processed for these. Ask the controller about them:"
        yield Block("text", f"{told} {_listed(answer['retired_use_cases'])}.")
    if answer.get("exceptions"):
        yield Block("heading", "Left out, and why")
        yield from (Block("text", reason) for reason in answer["exceptions"])
    data = answer.get("data", {"content": answer.get("content", ())})
    for store, items in data.items():
        yield Block("heading", _STORES.get(store, store.capitalize()))
        yield from _content(items, titles, zone) if store == "content" else _others(items, titles, zone)


def as_html(letter: Iterable[Block]) -> str:
    """A letter as one page: no script, and nothing loaded from elsewhere."""
    rows, title = [], ""
    for block in letter:
        text = escape(block.text)
        match block.kind:
            case "title":
                title = text
                rows.append(f"<h1>{text}</h1>")
            case "heading":
                rows.append(f"<h2>{text}</h2>")
            case "entry":
                rows.append(f"<h3>{text}</h3>")
            case "text":
                rows.append(f"<p>{text}</p>")
            case "quote":
                rows.append(f"<blockquote>{text}</blockquote>")
            case "term":
                rows.append(f"<p class=term><b>{escape(block.about)}</b><br>{text}</p>")
    body = "\n".join(rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>body{font:16px/1.5 Georgia,serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}"
        "h2{margin-top:2rem;border-top:1px solid #bbb;padding-top:.6rem}h3{font-size:1rem;margin-bottom:.2rem}"
        "blockquote{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6rem;margin:.2rem 0}"
        f".term{{margin:.4rem 0}}</style></head><body>\n{body}\n</body></html>\n"
    )


def _head(answer: Answer, zone: ZoneInfo, timezone: str) -> Iterator[Block]:
    controller = answer.get("controller")
    if controller:
        yield Block("text", f"{controller['name']}, {controller['contact']}")
        if controller["dpo"]:
            yield Block("text", f"Data protection officer: {controller['dpo']}")
    article = f"under {_ARTICLES[answer['type']]} of the General Data Protection Regulation"
    received, answered = day(answer["received_ms"], zone), day(answer["answered_ms"], zone)
    yield Block(
        "text", f"Your request of {received} {article}, answered on {answered}. Reference: {answer['request']}."
    )
    if answer.get("extended_reason"):
        yield Block("text", f"The time to answer was extended (Art. 12(3)): {answer['extended_reason']}.")
    if answer.get("confirmation"):
        yield Block("text", answer["confirmation"])
    yield Block(
        "text", f"This letter is free of charge. Times are those of {timezone}; answer.json holds the same data."
    )


def _content(items: Iterable[Answer], titles: Answer, zone: ZoneInfo) -> Iterator[Block]:
    for item in items:
        use = titles.get(item["use_case"], item["use_case"])
        said = _PARTS.get(item["what"], item["what"].capitalize())
        yield Block("entry", f"{said}, {moment(item['stored_ms'], zone)}{f', {use}' if use else ''}")
        yield Block("quote", _words(item["content"]))


def _words(content: Any) -> str:
    """What was said, without the form in which it was sent."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(_words, content)))
    if isinstance(content, dict):
        said = {name: value for name, value in content.items() if value not in (None, "", [], {})}
        speaker = _SPEAKERS.get(str(said.pop("role", "user")), "")
        kind = said.pop("type", "text")
        words = said.pop("content", None) or said.pop("text", None)
        rest = f"[{kind}] {_plain(said)}" if said else ""
        return "\n".join(filter(None, (f"{speaker}{_words(words)}" if words else "", rest)))
    return _plain(content)


def _others(items: Iterable[Answer], titles: Answer, zone: ZoneInfo) -> Iterator[Block]:
    """Records: those of one request together, in one entry."""
    together: dict[str, list[Answer]] = {}
    for number, item in enumerate(items):
        together.setdefault(item.get("request") or str(number), []).append(item)
    for group in together.values():
        first = group[0]
        yield Block("entry", _caption(first, zone))
        merged: dict[str, Any] = {}
        for item in group:
            for name, value in item.items():
                if name == "found" and merged.get("found"):
                    merged["found"] = [*merged["found"], *value]
                elif value not in ("", None, [], {}):
                    merged[name] = value
        said = [
            f"{_WORDS.get(name, name.replace('_', ' ').removesuffix(' ms').capitalize())}: {shown}"
            for name, value in merged.items()
            if name not in _LEFT_OUT
            and not (name in {"kind", "active"} and "kind" in first)
            and (shown := _shown(name, value, titles, zone))
        ]
        yield Block("text", ". ".join(said) + ".")


def _caption(item: Answer, zone: ZoneInfo) -> str:
    at = next((item[name] for name in ("ts_ms", "at_ms", "received_ms", "stored_ms") if name in item), None)
    when = moment(at, zone) if at is not None else ""
    if "kind" in item:
        return f"{when}: {item['kind']} {'in effect' if item.get('active') else 'ended'}"
    if "label" in item:
        return "Key"
    return when or "Entry"


def _shown(name: str, value: Any, titles: Answer, zone: ZoneInfo) -> str:
    if name.endswith("_ms"):
        return moment(value, zone) if isinstance(value, int) else ""
    if name == "use_case":
        return str(titles.get(value, value))
    if name == "lawful_basis":
        return f"Art. {value} GDPR"
    if name == "outcome":
        return _RESULTS.get(value, str(value))
    if name == "found":
        counted: dict[str, int] = {}
        for line in value:
            done = _ACTIONS.get(line["action"], line["action"])
            noticed = f"{line['type'].lower().replace('_', ' ')} ({done})"
            counted[noticed] = counted.get(noticed, 0) + line["count"]
        return "; ".join(f"{noticed} {count}x" for noticed, count in counted.items())
    return _plain(value).replace("_", " ") if name == "code" else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value))
    return str(value)


def _listed(value: Any) -> str:
    return "; ".join(value) if isinstance(value, list | tuple) else str(value)


def day(ms: int, zone: ZoneInfo) -> str:
    """A date in words."""
    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def moment(ms: int, zone: ZoneInfo) -> str:
    """A date in words, and the time of day."""
    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
    return f"{day(ms, zone)}, {at:%H:%M}"
