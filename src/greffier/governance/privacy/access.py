"""The answer to a request for access (Art. 15) or portability (Art. 20): the data, and everything said about it."""

import html
import json
from collections.abc import Iterable
from typing import Any

from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.law import law
from greffier.governance.privacy.ports import Person, SubjectStore
from greffier.governance.privacy.processing import recipients_of, storage_period, third_country_servers
from greffier.governance.privacy.records import SubjectRequest
from greffier.policy.settings import UseCaseSettings

_RIGHTS = (
    "You may ask for rectification (Art. 16), erasure (Art. 17), restriction (Art. 18) and your data in portable form "
    "(Art. 20), and object to the processing (Art. 21)."
)
_SOURCE = "The organisation's applications, in which you or someone acting for you entered it."
_EFFECTS = {
    "none": "No decision is taken about you.",
    "assist": "Answers assist a person who decides; no decision is taken by the machine alone.",
    "legal_or_similar": "Answers lead to decisions with legal or similarly significant effect; you may contest them "
    "and have a person decide (Art. 22(3)).",
}


def build_answer(
    request: SubjectRequest, stores: Iterable[SubjectStore], snapshot: Snapshot, now_ms: int
) -> dict[str, Any]:
    """Collect the data and state the items of Art. 15(1) and (2), per use case that processed it.

    Raises:
        PrivacyUnavailable: A store is out of reach, so the answer would not be whole.
    """
    person = Person(request.tenant, request.refs, request.parts)
    data = {store.name: found for store in stores if (found := store.export(person))}
    touched = {
        item["use_case"]
        for items in data.values()
        for item in items
        if isinstance(item.get("use_case"), str) and item["use_case"]
    }
    controller = snapshot.workspace.controller
    cases = [snapshot.use_cases[name] for name in sorted(touched) if name in snapshot.use_cases]
    return {
        "request": request.id,
        "type": request.type,
        "answered_ms": now_ms,
        "law": law().citation,
        "controller": None
        if controller is None
        else {"name": controller.name, "contact": controller.contact, "dpo": controller.dpo},
        "confirmation": "Personal data of yours is processed." if data else "No personal data of yours is kept here.",
        "items": law().access_items,
        "processing": [_processing(snapshot, case) for case in cases],
        "retired_use_cases": sorted(touched - set(snapshot.use_cases)),
        "exceptions": list(request.exceptions),
        "data": data,
    }


def _processing(snapshot: Snapshot, case: UseCaseSettings) -> dict[str, Any]:
    controller = snapshot.workspace.controller
    classes = snapshot.workspace.data_classes
    authority = controller.supervisory_authority if controller else ""
    return {
        "use_case": case.title,
        "a": f"{case.purpose}: {case.intended_purpose}",
        "b": [classes[name].title for name in case.data_classes if name in classes],
        "c": recipients_of(snapshot, case) or ["none outside the organisation"],
        "d": storage_period(snapshot, case),
        "e": _RIGHTS,
        "f": f"You may complain to a supervisory authority{f': {authority}' if authority else ' (Art. 77)'}.",
        "g": _SOURCE,
        "h": f"{_EFFECTS[case.decision_effect]} {case.decision_logic}".strip(),
        "safeguards_15_2": _safeguards(snapshot, case),
    }


def _safeguards(snapshot: Snapshot, case: UseCaseSettings) -> list[str]:
    """Art. 15(2): what safeguards the transfers; where nobody has stated it, at least that there is one."""
    if case.transfers:
        return list(case.transfers)
    return [f"{one.name} in {one.region}: ask the controller" for one in third_country_servers(snapshot, case)]


def portable(answer: dict[str, Any]) -> dict[str, Any]:
    """Only what the person provided, in a structured, common, machine-readable form (Art. 20(1)): their own content."""
    content = [item for item in answer["data"].get("content", []) if item["what"] != "answer"]
    return {name: answer[name] for name in ("request", "type", "answered_ms", "law")} | {"content": content}


def as_html(answer: dict[str, Any]) -> str:
    """The same for people: one page, no script, nothing loaded from elsewhere; browsers print it to PDF."""
    title = "Your personal data"
    rows = [f"<h1>{title}</h1><p>{_text(answer.get('confirmation', ''))}</p>"]
    controller = answer.get("controller")
    if controller:
        rows.append(f"<p>{_text(controller['name'])}, {_text(controller['contact'])}</p>")
    for processing in answer.get("processing", ()):
        rows.append(f"<h2>{_text(processing['use_case'])}</h2><dl>")
        for item, meaning in answer["items"].items():
            value = processing[item]
            shown = "; ".join(value) if isinstance(value, list) else value
            rows.append(f"<dt>({item}) {_text(meaning)}</dt><dd>{_text(shown)}</dd>")
        rows.append("</dl>")
    if answer.get("exceptions"):
        rows.append("<h2>Left out, and why</h2><ul>")
        rows += [f"<li>{_text(reason)}</li>" for reason in answer["exceptions"]]
        rows.append("</ul>")
    stores = answer.get("data", {"content": answer.get("content", [])})
    for store, items in stores.items():
        rows.append(f"<h2>{_text(store)} ({len(items)})</h2>")
        rows += [f"<pre>{_text(json.dumps(item, ensure_ascii=False, indent=2))}</pre>" for item in items]
    body = "\n".join(rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6rem}"
        f"dt{{font-weight:bold}}</style></head><body>\n{body}\n</body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
