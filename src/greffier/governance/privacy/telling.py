"""Tell recipients of rectifications, erasures and restrictions (GDPR Art. 19): who they are, and what they are told.

A notice says what is asked, by whom, and about which answers; never who the person is. Only the notice of a
rectification holds words of the person, because they are what is to be corrected; they are read when it is sent.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.ports import Disclosure
from greffier.governance.privacy.records import Notice, RequestType, SubjectRequest

SCHEMA = "greffier.notice/1"
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 6 * 3_600_000
TOLD: tuple[RequestType, ...] = ("rectify", "erase", "restrict")
_ASKED: Mapping[str, tuple[str, str]] = {
    "rectify": ("rectification", "Correct what you received with these answers, and tell those you passed it on to."),
    "erase": ("erasure", "Erase what you received with these answers, any copy of it and any link to it."),
    "restrict": ("restriction", "Keep what you received with these answers and do not process it otherwise."),
}


class Use(msgspec.Struct, frozen=True):
    """One answered request of a person, as the log shows it.

    Attributes:
        request: Its id.
        use_case: Which use case.
        deployments: Every model server it was sent to, tries that failed included.
    """

    request: str
    use_case: str
    deployments: tuple[str, ...]


def disclosures(snapshot: Snapshot, tenant: str, uses: Sequence[Use], *, complete: bool) -> tuple[Disclosure, ...]:
    """Everyone who was sent data of a person, with the requests it went with.

    Args:
        snapshot: The configuration in force.
        tenant: Whose use cases.
        uses: The person's requests that the records still show.
        complete: Whether the records go back to the beginning. Where they do not, nobody who may have received
            something is left out: every recipient of the tenant's use cases is told, without knowing about what.
    """
    found: dict[str, list[str]] = {}
    for use in uses:
        case = snapshot.use_cases.get(use.use_case)
        names = [*(case.recipients if case is not None else ()), *_providers(snapshot, use.deployments)]
        for name in names:
            found.setdefault(_key(snapshot, name), []).append(use.request)
    if not complete:
        for case in snapshot.use_cases.values():
            if case.tenant == tenant:
                names = [*case.recipients, *_providers(snapshot, _deployments(snapshot, case.models))]
                for name in names:
                    found.setdefault(_key(snapshot, name), [])
    return tuple(_disclosure(snapshot, key, requests) for key, requests in found.items())


def message(notice: Notice, request: SubjectRequest, snapshot: Snapshot, correction: str = "") -> bytes:
    """What a recipient is told, canonical JSON.

    Args:
        notice: The notice.
        request: The request it is about.
        snapshot: The configuration in force, for who the controller is.
        correction: What is right instead; for a rectification.
    """
    act, asked = _ASKED[request.type]
    controller = snapshot.workspace.controller
    said: dict[str, Any] = {
        "schema": SCHEMA,
        "id": notice.id,
        "article": "GDPR Art. 19",
        "act": act,
        "asked": asked,
        "controller": {"name": controller.name, "contact": controller.contact, "dpo": controller.dpo}
        if controller is not None
        else {"name": snapshot.workspace.name, "contact": "", "dpo": ""},
        "recipient": notice.name,
        "reference": request.id,
        "decided_ms": notice.queued_ms,
        "requests": list(notice.requests),
    }
    if correction:
        said["correction"] = correction
    return msgspec.json.encode(said, order="sorted")


def told(notice: Notice, body: bytes, now_ms: int, by: str) -> Notice:
    """The notice after its delivery; which requests it was about is in the log and no longer needed here."""
    digest = hashlib.sha256(body).hexdigest()
    return msgspec.structs.replace(
        notice, state="told", done_ms=now_ms, by=by, digest=digest, error="", requests=(), next_ms=0
    )


def failed(notice: Notice, error: str, now_ms: int) -> Notice:
    """The notice after a delivery that failed; it is tried again, each time after twice as long, and never given up."""
    pause = min(FIRST_PAUSE_MS * 2 ** min(notice.attempts, 16), LONGEST_PAUSE_MS)
    return msgspec.structs.replace(notice, attempts=notice.attempts + 1, error=error, next_ms=now_ms + pause)


def put(request: SubjectRequest, notice: Notice) -> SubjectRequest:
    """The request with one of its notices replaced."""
    notices = tuple(notice if one.id == notice.id else one for one in request.notices)
    return msgspec.structs.replace(request, notices=notices)


def _deployments(snapshot: Snapshot, models: Iterable[str]) -> list[str]:
    known = (snapshot.models[name] for name in models if name in snapshot.models)
    return [target.deployment for model in known for target in model.targets]


def _providers(snapshot: Snapshot, deployments: Iterable[str]) -> list[str]:
    """Providers of external model servers, as the record of processing names them or as the register knows them."""
    found = []
    for name in deployments:
        deployment = snapshot.deployments.get(name)
        if deployment is not None and deployment.location == "external":
            owner = next((key for key, one in snapshot.workspace.recipients.items() if name in one.deployments), None)
            found.append(owner or f"{deployment.provider} ({deployment.name}, {deployment.region})")
    return found


def _key(snapshot: Snapshot, name: str) -> str:
    """The register's key of a recipient, or the name itself."""
    register = snapshot.workspace.recipients
    return next((key for key, one in register.items() if name in {key, one.name}), name)


def _disclosure(snapshot: Snapshot, key: str, requests: list[str]) -> Disclosure:
    known = snapshot.workspace.recipients.get(key)
    about = tuple(dict.fromkeys(requests))
    if known is None:
        return Disclosure("", key, "hand", about)
    if known.webhook is not None:
        return Disclosure(key, known.name, "webhook", about)
    return Disclosure(key, known.name, "mail" if known.mail_folder is not None else "hand", about)
