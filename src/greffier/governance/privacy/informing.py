"""What the person is told about their request (Art. 12(3), (4)): received, longer, refused, or what was done.

A letter for the person, made from the case and the law's data; it is not stored.
"""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from greffier.config.settings import ControllerSettings
from greffier.governance.privacy.law import law
from greffier.governance.privacy.letter import Block, day, moment
from greffier.governance.privacy.records import Notice, StepResult, SubjectRequest

_STORES = {
    "content": "What you wrote and what you were answered",
    "keys": "Access keys in your name",
    "messages left to be sent": "Messages about you that had not been sent",
    "backups": "Copies made before",
    "copies set aside by a restore": "Copies from before our stores were restored",
    "journal": "Signed records of your requests",
    "consents and objections": "Your consents, objections and restrictions",
    "cases of data protection": "Your requests to us",
    "accounts": "Sums of use",
    "incidents": "Register of breaches",
}
_DONE = {
    "access": "Your data and everything about its processing is in the answer that goes with this letter.",
    "port": "Your data in portable form is in the answer that goes with this letter.",
    "erase": "Your data is erased as follows.",
    "rectify": "Your data is corrected as follows.",
    "restrict": "From this moment on your data is not processed{purpose}, except as Art. 18(2) allows.",
    "object": "From this moment on your data is not processed{purpose}.",
    "contest": "A person has looked at the decision again. What was decided is kept with your data.",
}


def informing(
    request: SubjectRequest, controller: ControllerSettings | None, *, digest: str = "", now_ms: int
) -> Iterator[Block]:
    """The letter, from top to bottom.

    Args:
        request: The case.
        controller: Who writes; its place tells which day it is.
        digest: Of the certificate or confirmation that the log holds; empty while there is none.
        now_ms: When it is written.
    """
    known = law().requests[request.type]
    zone = ZoneInfo(controller.timezone if controller else "UTC")
    yield Block("title", f"Your request: {known.title.lower()}")
    if controller:
        yield Block("text", f"{controller.name}, {controller.contact}")
        if controller.dpo:
            yield Block("text", f"Data protection officer: {controller.dpo}")
    yield Block("text", f"{day(now_ms, zone)}. Reference: {request.id}.")
    asked = f"You asked on {day(request.received_ms, zone)} under {known.article}"
    yield Block("text", f"{asked} of the General Data Protection Regulation.")
    if request.state == "refused":
        yield from _refused(request)
    elif request.state == "done":
        yield from _done(request, zone, digest)
    else:
        yield from _under_way(request, zone)
    yield Block("heading", "Your rights")
    authority = f", {controller.supervisory_authority}," if controller and controller.supervisory_authority else ""
    yield Block(
        "text",
        f"You may complain to a supervisory authority{authority} (Art. 77) and seek a judicial remedy (Art. 79). "
        "This letter and what we did are free of charge (Art. 12(5)).",
    )


def _under_way(request: SubjectRequest, zone: ZoneInfo) -> Iterator[Block]:
    last = day(request.due_ms - 1, zone)  # the first millisecond in which it is late
    if not request.identity_check:
        yield Block("text", "Before we answer, we have to make sure that it is you who asks (Art. 12(6)).")
    if request.extended_ms is not None:
        reason = request.extended_reason.rstrip(".")
        told = f"This was decided on {day(request.extended_ms, zone)}; you are answered by {last}."
        yield Block("text", f"We need longer than a month (Art. 12(3)): {reason}. {told}")
    else:
        yield Block("text", f"You are answered by {last}.")


def _refused(request: SubjectRequest) -> Iterator[Block]:
    ground, _, reason = request.refused_reason.partition(": ")
    texts = law().refusals | law().requests[request.type].exceptions
    yield Block("heading", "We do not do what you asked")
    yield Block("term", f"Art. {ground}: {texts.get(ground, '')}", "Ground")
    yield Block("term", reason, "Why it applies here")


def _done(request: SubjectRequest, zone: ZoneInfo, digest: str) -> Iterator[Block]:
    at = request.outcome["completed_ms"]
    purpose = f" for the purpose '{request.purpose}'" if request.purpose else ""
    yield Block("heading", f"Done on {moment(at, zone)} ({zone.key})")
    yield Block("text", _DONE[request.type].format(purpose=purpose))
    if request.type == "erase":
        yield from _erased(request)
    for step in request.steps:
        yield from _corrected(step)
    if request.exceptions:
        texts = law().requests[request.type].exceptions
        yield Block("heading", "What was not done, and why")
        for exception in request.exceptions:
            ground, _, reason = exception.partition(": ")
            yield Block("term", reason, f"Art. {ground}: {texts.get(ground, '')}")
    if request.notices:
        yield Block("heading", "Who was sent your data and is told of this (Art. 19)")
        yield from (Block("term", _told(notice, zone), notice.name) for notice in request.notices)
    if digest:
        yield Block("heading", "How this can be checked")
        yield Block("text", f"The signed log holds the digest of what was confirmed (SHA-256): {digest}.")


def _erased(request: SubjectRequest) -> Iterator[Block]:
    for store in request.outcome["stores"]:
        name = _STORES.get(store["store"], store["store"].capitalize())
        if store["store"] == "backups":
            yield Block(
                "term", "Nobody can delete inside them. Before one is used, you are erased from it again.", name
            )
            continue
        found, left = store["found"], store["remaining"]
        said = (
            f"{found} found, {store['deleted']} deleted; looked again: {left} left." if found else "Nothing was found."
        )
        yield Block("term", said, name)
    if request.outcome["kept_parts"]:
        yield Block("text", f"Kept for the exceptions below: {request.outcome['kept_parts']} items.")
    kept = [store for store in request.outcome["retained"] if store["found"]]
    if kept:
        yield Block("heading", "What stays, and why")
    for store in kept:
        name = _STORES.get(store["store"], store["store"].capitalize())
        count = f"{store['found']} {'entry' if store['found'] == 1 else 'entries'}"
        yield Block("term", f"{count}. Art. {store['reason']}", name)


def _corrected(step: StepResult) -> Iterator[Block]:
    kind, _, store = step.name.partition(":")
    if kind == "correct" and step.result.get("corrected"):
        yield Block("term", f"{step.result['corrected']} corrected.", _STORES.get(store, store.capitalize()))
    elif kind == "correct" and store == "content":
        yield Block("term", step.result.get("reason", ""), _STORES[store])


def _told(notice: Notice, zone: ZoneInfo) -> str:
    if notice.state == "told" and notice.done_ms is not None:
        return f"told on {day(notice.done_ms, zone)}"
    if notice.state == "impossible":
        return f"cannot be told, or only with disproportionate effort: {notice.reason}"
    return "is being told"
