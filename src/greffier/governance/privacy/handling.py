"""Carry out requests of data subjects, step by step, so that a crash at any moment is resumed and nothing is skipped.

Each step is idempotent and noted as done once it was; running a request again does what is left. Where a step is
repeated because the note was lost, the result is the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, cast

import msgspec

from greffier.core.clock import Clock
from greffier.core.ids import new_id
from greffier.governance.privacy.law import Law
from greffier.governance.privacy.ports import (
    ConsentLedger,
    Correctable,
    Disclosure,
    ErasureLedger,
    NotAllowed,
    Person,
    SubjectRequests,
    SubjectStore,
)
from greffier.governance.privacy.records import LedgerLine, Notice, StepResult, SubjectRequest
from greffier.policy.standing import Kind

_TRIES = 3
_KEPT = frozenset({"outcome", "notices"})  # what stands in the request itself and not among its steps
Result = dict[str, Any]


class Recorder(Protocol):
    """Puts an act on record and returns once that is durable."""

    def __call__(
        self, action: str, target: str, *, reason: str = "", details: dict[str, str | int | bool] | None = None
    ) -> None:
        """Record."""
        ...


class Desk(msgspec.Struct, frozen=True):
    """What handling a request needs.

    Attributes:
        stores: Every place where data of people is kept.
        held: Legal holds that stand against erasing a person.
        set_aside: Puts a request's content out of an erasure's reach (tenant, request).
        entries: What there is in the state folder, to find what no store answers for.
        recipients: Who was sent data of the person (Art. 19).
        corrections: What is wrong and what is right instead (Art. 16), to be written where a copy can be corrected.
        collected: What an answer that was written holds: items by store, and its digest.
        settled: Called with the number of an erasure once it was carried out everywhere.
        actor: Who is at work.
    """

    requests: SubjectRequests
    ledger: ConsentLedger
    held: Callable[[Person], list[str]]
    erasures: ErasureLedger
    stores: tuple[SubjectStore, ...]
    entries: Callable[[], Iterable[str]]
    recipients: Callable[[Person], tuple[Disclosure, ...]]
    set_aside: Callable[[str, str], int]
    settled: Callable[[int], None]
    record: Recorder
    clock: Clock
    actor: str
    law: Law
    corrections: tuple[tuple[str, str], ...] = ()
    collected: Result = {}


def unclaimed(stores: Iterable[SubjectStore], entries: Iterable[str]) -> list[str]:
    """Entries of the state folder that no store answers for: a request that skipped them would not be true."""
    held = frozenset().union(*(store.holds for store in stores))
    return sorted(entry for entry in entries if entry not in held)


def person_of(request: SubjectRequest) -> Person:
    """Whom a request is about."""
    return Person(request.tenant, request.refs, request.parts)


def digest(outcome: Result) -> str:
    """SHA-256 of an outcome's canonical JSON, hex; the log holds it, so that the document cannot be changed later."""
    return hashlib.sha256(msgspec.json.encode(outcome, order="sorted")).hexdigest()


class Handler:
    """Runs one request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def run(self, request: SubjectRequest) -> SubjectRequest:
        """Do what is left of a request.

        Raises:
            NotAllowed: Something stands against it: no identity check, a legal hold, a store without connector, data
                that is still there after it was deleted.
            PrivacyUnavailable: A store is out of reach; run it again.
        """
        if request.state in {"done", "refused"}:
            return request
        if not request.identity_check:
            raise NotAllowed("nobody has recorded how the person's identity was checked ('greffier dsr identify')")
        if not request.refs:
            raise NotAllowed("the request names no reference of the person ('greffier dsr confirm')")
        if request.state != "running":  # from here on it is carried out to its end, so look first, each time anew
            looked = tuple(self._noted(name, look(request)) for name, look in self._before(request))
            request = self._save(msgspec.structs.replace(request, state="running", steps=looked), request)
        done = {step.name for step in request.steps}
        for name, step in self._plan(request):
            if name in done:
                continue
            result = step(request)
            changed = msgspec.structs.replace(
                request,
                steps=(*request.steps, self._noted(name, result)),
                outcome=result.get("outcome", request.outcome),
                notices=result.get("notices", request.notices),
            )
            request = self._save(changed, request)
        # The references go: who it was is no longer known here, and the ledger of erasures has only marks of them.
        refs = () if request.type == "erase" else request.refs
        return self._save(msgspec.structs.replace(request, state="done", refs=refs, parts=()), request)

    def _noted(self, name: str, result: Result) -> StepResult:
        return StepResult(name=name, at_ms=self._now(), result={k: v for k, v in result.items() if k not in _KEPT})

    def _before(self, request: SubjectRequest) -> Iterator[tuple[str, Callable[[SubjectRequest], Result]]]:
        yield "inventory", self._inventory
        if request.type == "erase":
            yield "holds", self._no_hold

    def _plan(self, request: SubjectRequest) -> Iterator[tuple[str, Callable[[SubjectRequest], Result]]]:
        if request.type == "erase":
            yield from self._erasure()
        elif request.type == "restrict":
            yield "enter", lambda r: self._enter(r, "restriction", r.purpose)
            yield "notify", self._notify
            yield "confirm", self._confirmation
        elif request.type == "object":
            yield "enter", lambda r: self._enter(r, "objection", r.purpose)
            yield "confirm", self._confirmation
        elif request.type == "rectify":
            for store in self._desk.stores:
                yield f"correct:{store.name}", self._correcting(store)
            yield "notify", self._notify
            yield "confirm", self._confirmation
        else:
            yield "collected", self._collected
            yield "confirm", self._confirmation

    def _erasure(self) -> Iterator[tuple[str, Callable[[SubjectRequest], Result]]]:
        stores = self._desk.stores
        yield "suppress", lambda r: self._enter(r, "restriction", "", origin=r.id)
        yield "bury", self._bury
        yield "set aside", self._aside
        for store in stores:
            if store.retains:
                yield f"retain:{store.name}", self._retaining(store)
            else:
                yield f"delete:{store.name}", self._deleting(store)
        for store in stores:
            if not store.retains:
                yield f"verify:{store.name}", self._verifying(store)
        yield "settle", self._settle
        yield "notify", self._notify
        yield "certificate", self._certificate
        yield "log", self._log
        yield "release", lambda r: self._enter(r, "restriction", "", origin=r.id, active=False)

    def _inventory(self, request: SubjectRequest) -> Result:
        del request
        entries = list(self._desk.entries())
        missing = unclaimed(self._desk.stores, entries)
        if missing:
            raise NotAllowed(
                f"no connector answers for {', '.join(missing)}, so the request cannot be carried out truly"
            )
        return {"entries": len(entries)}

    def _no_hold(self, request: SubjectRequest) -> Result:
        standing = self._desk.held(person_of(request))
        if standing:
            raise NotAllowed(f"a legal hold stands against it (Art. 17(3)(e)): {', '.join(standing)}")
        return {"holds": 0}

    def _enter(
        self, request: SubjectRequest, kind: Kind, purpose: str, *, origin: str = "", active: bool = True
    ) -> Result:
        numbers = [
            self._desk.ledger.enter(
                LedgerLine(
                    tenant=request.tenant,
                    subject=ref,
                    purpose=purpose,
                    kind=kind,
                    active=active,
                    at_ms=self._now(),
                    actor=self._desk.actor,
                    channel="dsr",
                    proof=request.id,
                    origin=origin,
                )
            )
            for ref in request.refs
        ]
        return {"lines": len(numbers), "last": max(numbers)}

    def _bury(self, request: SubjectRequest) -> Result:
        """Record that the erasure begins, and note it where restored backups are cleaned from; then delete."""
        details: dict[str, str | int | bool] = {"refs": len(request.refs), "parts": len(request.parts)}
        self._desk.record("dsr.erase", f"dsr:{request.id}", details=details)
        number = self._desk.erasures.bury(request.id, request.tenant, request.refs, request.parts, self._now())
        return {"line": number}

    def _aside(self, request: SubjectRequest) -> Result:
        """Put what an exception keeps under the tenant's key: no longer kept as the person's, but for that ground."""
        return {"kept": sum(self._desk.set_aside(request.tenant, name) for name in request.kept)}

    def _deleting(self, store: SubjectStore) -> Callable[[SubjectRequest], Result]:
        def delete(request: SubjectRequest) -> Result:
            person = person_of(request)
            return {"found": store.find(person), "deleted": store.delete(person)}

        return delete

    def _retaining(self, store: SubjectStore) -> Callable[[SubjectRequest], Result]:
        return lambda request: {"found": store.find(person_of(request)), "reason": store.retains}

    def _verifying(self, store: SubjectStore) -> Callable[[SubjectRequest], Result]:
        def verify(request: SubjectRequest) -> Result:
            person = person_of(request)
            for _ in range(_TRIES):  # a request that was under way when its person was erased may have stored an answer
                verified = store.verify(person)
                if not verified.remaining:
                    result = {"query": verified.query, "remaining": 0}
                    return result | {"digest": digest(result | {"request": request.id, "store": store.name})}
                store.delete(person)
            raise NotAllowed(
                f"{store.name} still holds {verified.remaining} items after deletion; run the request again"
            )

        return verify

    def _settle(self, request: SubjectRequest) -> Result:
        """Note how far the content has seen the ledger: up to the first erasure that is still under way."""
        newest = self._desk.erasures.newest()
        finished: dict[str, bool] = {request.id: True}
        for line in self._desk.erasures.lines(0):
            if line.request not in finished:
                other = self._desk.requests.get(line.request)
                finished[line.request] = any(step.name == "settle" for step in other.steps)
            if not finished[line.request]:
                newest = line.number - 1
                break
        self._desk.settled(newest)
        return {"seen": newest}

    def _notify(self, request: SubjectRequest) -> Result:
        """Queue a notice to each recipient with the request itself: both are durable, or neither is."""
        disclosures = self._desk.recipients(person_of(request))
        notices = tuple(
            Notice(
                id=new_id("ntc"),
                recipient=one.recipient,
                name=one.name,
                how=one.how,
                queued_ms=self._now(),
                requests=one.requests,
            )
            for one in disclosures
        )
        self._desk.record("dsr.notify", f"dsr:{request.id}", details={"recipients": len(notices)})
        told = [{"recipient": notice.name, "how": notice.how, "notice": notice.id} for notice in notices]
        return {"recipients": told, "notices": notices}

    def _correcting(self, store: SubjectStore) -> Callable[[SubjectRequest], Result]:
        def correct(request: SubjectRequest) -> Result:
            if store.stays:
                return {"corrected": 0, "reason": store.stays}
            if not self._desk.corrections:
                return {"corrected": 0, "reason": "nobody said which word is wrong here (--wrong, --right)"}
            copies = cast("Correctable", store)
            person = person_of(request)
            return {"corrected": sum(copies.correct(person, wrong, right) for wrong, right in self._desk.corrections)}

        return correct

    def _certificate(self, request: SubjectRequest) -> Result:
        steps = {step.name: step.result for step in request.steps}
        stores = [
            {"store": store.name, **steps[f"delete:{store.name}"], **steps[f"verify:{store.name}"], "verified": True}
            for store in self._desk.stores
            if not store.retains
        ]
        retained = [
            {"store": store.name, **steps[f"retain:{store.name}"]} for store in self._desk.stores if store.retains
        ]
        outcome = {
            "request": request.id,
            "type": request.type,
            "tenant": request.tenant,
            "received_ms": request.received_ms,
            "completed_ms": self._now(),
            "identity_check": request.identity_check,
            "stores": stores,
            "retained": retained,
            "exceptions": list(request.exceptions),
            "kept_parts": steps["set aside"]["kept"],
            "recipients": steps["notify"]["recipients"],
            "erasure_line": steps["bury"]["line"],
            "backups": "Line of the erasure ledger; it is replayed over a restored backup before anything is served.",
            "law": self._desk.law.citation,
        }
        return {"outcome": outcome, "digest": digest(outcome)}

    def _log(self, request: SubjectRequest) -> Result:
        stores = request.outcome["stores"]
        details: dict[str, str | int | bool] = {
            "digest": digest(request.outcome),
            "stores": len(stores),
            "found": sum(store["found"] for store in stores),
            "deleted": sum(store["deleted"] for store in stores),
            "remaining": sum(store["remaining"] for store in stores),
            "retained": len(request.outcome["retained"]),
            "exceptions": len(request.outcome["exceptions"]),
        }
        self._desk.record("dsr.certificate", f"dsr:{request.id}", details=details)
        return {"digest": details["digest"]}

    def _collected(self, request: SubjectRequest) -> Result:
        del request
        return dict(self._desk.collected)

    def _confirmation(self, request: SubjectRequest) -> Result:
        outcome = {
            "request": request.id,
            "type": request.type,
            "tenant": request.tenant,
            "received_ms": request.received_ms,
            "completed_ms": self._now(),
            "identity_check": request.identity_check,
            "exceptions": list(request.exceptions),
            "steps": {step.name: step.result for step in request.steps},
            "law": self._desk.law.citation,
        }
        self._desk.record(f"dsr.{request.type}", f"dsr:{request.id}", details={"digest": digest(outcome)})
        return {"outcome": outcome, "digest": digest(outcome)}

    def _save(self, request: SubjectRequest, was: SubjectRequest) -> SubjectRequest:
        self._desk.requests.save(request, was)
        return request

    def _now(self) -> int:
        return self._desk.clock.wall_ms()


def _step(request: SubjectRequest, name: str) -> Result:
    return next(step.result for step in request.steps if step.name == name)


def new_request_id() -> str:
    """Identifier of a request."""
    return new_id("dsr")
