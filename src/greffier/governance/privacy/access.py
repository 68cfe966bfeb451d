"""The answer to a request for access (Art. 15) or portability (Art. 20): the data, and everything said about it."""

from collections.abc import Iterable
from typing import Any

from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.law import law
from greffier.governance.privacy.ports import Person, SubjectStore
from greffier.governance.privacy.processing import categories_of, recipients_of, storage_period, third_country_servers
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
        "received_ms": request.received_ms,
        "answered_ms": now_ms,
        "extended_reason": request.extended_reason,
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
    authority = controller.supervisory_authority if controller else ""
    return {
        "use_case": case.title,
        "use_case_id": case.id,
        "a": f"{case.purpose}: {case.intended_purpose}",
        "b": categories_of(snapshot, case) or ["no personal data are intended"],
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
    kept = ("request", "type", "received_ms", "answered_ms", "law", "controller", "exceptions")
    return {name: answer[name] for name in kept} | {"content": content}
