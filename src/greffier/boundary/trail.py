"""The trail of one request: rulings are gathered as they are made and written down at two durable points.

`enforce` is the only way from one stage to the next. Stages cannot import `audit`, so a stage can neither forget to
record nor record twice.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import msgspec

from greffier.audit.ports import Journal, JournalUnavailable
from greffier.boundary.points import UNAVAILABLE, Point
from greffier.boundary.ports import Observer
from greffier.core.chat import Usage
from greffier.core.clock import Clock
from greffier.core.context import Arrival, RiskClass
from greffier.core.errors import Code
from greffier.core.events import (
    Admission,
    AttemptLine,
    GuardrailLine,
    Outcome,
    PartLine,
    RequestFacts,
    RulingLine,
)
from greffier.core.ids import new_id
from greffier.core.rulings import Allow, Deny, Finding, Refused, Ruling

T = TypeVar("T")
F = TypeVar("F")
log = logging.getLogger(__name__)

_PPM = 1_000_000
_NOTED_ONLY = frozenset({"", "allow", "flag"})
Stage = Literal["input", "output"]
Ending = Literal["answered", "denied", "failed", "cancelled"]


class Evidence(msgspec.Struct, frozen=True):
    """What long-lived collaborators a trail writes to.

    Attributes:
        journal: Where records become durable.
        observer: Who derives metrics and traces.
        clock: What time it is.
        bundle: Digest of the configuration in force.
        release: Name of the release; ``unsigned`` in development mode.
    """

    journal: Journal
    observer: Observer
    clock: Clock
    bundle: str
    release: str
    reference: Callable[[str, str], str]
    """Turns a direct identifier (its kind, its value) into a keyed reference: records never hold the identifier."""


class Answered(msgspec.Struct, frozen=True):
    """What the outcome record says about an answer."""

    deployment: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage = Usage()
    cost_micro: int = 0
    priced: bool = True
    chars: int = 0
    first_token_us: int = 0
    parts: tuple[PartLine, ...] = ()


class Trail:
    """Gathers what is learned about one request and writes it down, once before the call and once after it."""

    def __init__(self, arrival: Arrival, evidence: Evidence) -> None:
        self._arrival = arrival
        self._evidence = evidence
        self._rulings: list[RulingLine] = []
        self._guardrails: dict[Stage, tuple[GuardrailLine, ...]] = {}
        self._attempts: list[AttemptLine] = []
        self._admission: Admission | None = None
        self._concluded = False
        self._began_ns = time.perf_counter_ns()
        self.upstream_us = 0
        self._known: dict[str, Any] = {
            "surface": arrival.surface,
            "bundle": evidence.bundle,
            "release": evidence.release,
            "peer": evidence.reference("peer", arrival.peer) if arrival.peer else "",
            "correlation_id": arrival.correlation_id,
            "trace_id": arrival.traceparent[3:35],
        }
        self._facts: RequestFacts | None = None
        self.tenant = ""

    def learn(self, **facts: object) -> None:
        """Add facts a stage has established."""
        self._known.update(facts)
        self._facts = None

    @property
    def facts(self) -> RequestFacts:
        """What is known so far."""
        if self._facts is None:
            self._facts = RequestFacts(**self._known)
        return self._facts

    def ruled(self, point: Point, ruling: Ruling[T], us: int) -> None:
        """Note a ruling."""
        if isinstance(ruling, Deny):
            self._rulings.append(RulingLine(str(point), "deny", ruling.rule, us, str(ruling.code)))
        else:
            self._rulings.append(RulingLine(str(point), "allow", ruling.rule, us))
        if ruling.findings:
            self.found(ruling.findings, "output" if point is Point.SCREEN_OUTPUT else "input")

    def found(self, findings: tuple[Finding, ...], stage: Stage) -> None:
        """Note findings that count, by detector, type, rule and action; how near others came is nobody's record."""
        counts: Counter[tuple[str, str, str, str]] = Counter()
        best: dict[tuple[str, str, str, str], float] = {}
        for finding in findings:
            if not finding.counts:
                continue
            key = (finding.detector, finding.type, finding.action, finding.rule)
            counts[key] += 1
            best[key] = max(best.get(key, 0.0), finding.score)
        lines = tuple(
            GuardrailLine(detector, type_, stage, action, count, int(best[detector, type_, action, rule] * _PPM), rule)
            for (detector, type_, action, rule), count in counts.items()
        )
        self._guardrails[stage] = self._guardrails.get(stage, ()) + lines

    @property
    def edits(self) -> tuple[str, ...]:
        """What screens changed or stopped, as ``stage:action:type``; what they only noted is not for callers."""
        if not self._guardrails:
            return ()
        lines = (line for stage in self._guardrails.values() for line in stage if line.action not in _NOTED_ONLY)
        return tuple(dict.fromkeys(f"{line.stage}:{line.action}:{line.type}" for line in lines))

    def attempted(self, deployment: str, outcome: str, us: int, code: str = "") -> None:
        """Note a call to a deployment, successful or not."""
        self._attempts.append(AttemptLine(deployment, outcome, us, code))
        self.upstream_us += us

    @property
    def answered_by(self) -> str:
        """The deployment that answered, or began to; empty before, and when none did."""
        last = self._attempts[-1] if self._attempts else None
        return last.deployment if last is not None and last.outcome == "answered" else ""

    @property
    def called(self) -> bool:
        """Whether a model may have been at work: a call was made that did not plainly fail."""
        return any(attempt.outcome != "failed" for attempt in self._attempts)

    @property
    def cut_off(self) -> str:
        """The deployment whose call was the last one and was not waited for to its end; empty if there is none."""
        last = self._attempts[-1] if self._attempts else None
        return last.deployment if last is not None and last.outcome == "cancelled" else ""

    @property
    def _risk(self) -> RiskClass:
        """Decides what happens when the record cannot be written; unknown counts as high."""
        risk: RiskClass = self._known.get("risk_class") or "high"
        return risk

    def elapsed_us(self) -> int:
        """Microseconds since the request arrived."""
        return (time.perf_counter_ns() - self._began_ns) // 1000

    async def admit(self, parts: tuple[PartLine, ...], tokens: int, cost_micro: int) -> None:
        """Make the admission durable. Until this returns, nothing may leave for a model or a tool.

        Raises:
            Refused: The journal cannot write, so the request may not go on.
        """
        admission = Admission(
            id=new_id("evt"),
            ts=self._evidence.clock.wall_ms(),
            tenant=self.tenant,
            request_id=self._arrival.request_id,
            facts=self.facts,
            rulings=tuple(self._rulings),
            guardrails=self._guardrails.get("input", ()),
            parts=parts,
            reserved_tokens=tokens,
            reserved_micro=cost_micro,
        )
        try:
            await self._evidence.journal.append(admission, risk=self._risk)
        except JournalUnavailable as error:
            log.error("the admission of %s is not durable: %s", self._arrival.request_id, error)  # noqa: TRY400
            raise Refused(_unrecorded()) from error
        self._admission = admission
        self._rulings.clear()

    async def conclude(
        self, outcome: Ending, ruling: Deny | None, answer: Answered, charged_micro: int | None = None
    ) -> None:
        """Make the outcome durable. Until this returns, the last byte of the answer may not leave. Acts once.

        Args:
            outcome: How it ended.
            ruling: The refusal, if it ended in one.
            answer: What is known about the answer.
            charged_micro: What counted against budgets, where that is not the answer's cost.

        Raises:
            Refused: The journal cannot write, so the answer may not leave.
        """
        if self._concluded:
            return
        self._concluded = True
        total = self.elapsed_us()
        event = Outcome(
            id=new_id("evt"),
            ts=self._evidence.clock.wall_ms(),
            tenant=self.tenant,
            request_id=self._arrival.request_id,
            outcome=outcome,
            code=str(ruling.code) if ruling else "",
            rule=ruling.rule if ruling else "",
            facts=None if self._admission else self.facts,
            rulings=tuple(self._rulings),
            guardrails=self._outcome_guardrails(),
            attempts=tuple(self._attempts),
            parts=answer.parts,
            deployment=answer.deployment,
            response_model=answer.model,
            finish_reason=answer.finish_reason,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cached_tokens=answer.usage.cached_tokens,
            tokens_estimated=answer.usage.estimated,
            cost_micro=answer.cost_micro,
            charged_micro=charged_micro,
            output_chars=answer.chars,
            latency_us=total,
            first_token_us=answer.first_token_us,
            overhead_us=max(0, total - self.upstream_us),
        )
        try:
            await self._evidence.journal.append(event, risk=self._risk)
        except JournalUnavailable as error:
            log.error("the outcome of %s is not durable: %s", self._arrival.request_id, error)  # noqa: TRY400
            raise Refused(_unrecorded()) from error
        finally:
            self._evidence.observer.concluded(self.facts, self._admission, event)

    def _outcome_guardrails(self) -> tuple[GuardrailLine, ...]:
        """Findings not yet on record: those of the output, and of the input when nothing was admitted."""
        output = self._guardrails.get("output", ())
        return output if self._admission else self._guardrails.get("input", ()) + output


def _unrecorded() -> Deny:
    return Deny(
        Code.JOURNAL_UNAVAILABLE,
        rule="builtin:record-before-effect",
        reason="The evidence of this request could not be made durable.",
        retry_after_s=5.0,
    )


async def enforce(trail: Trail, point: Point, asked: Awaitable[Ruling[T]]) -> T:
    """Await a stage's ruling, note it, and hand on the value it let through.

    A stage that raises has refused. A caller who hangs up while the stage rules leaves a ruling as well.

    Raises:
        Refused: The stage refused, or could not rule.
    """
    began = time.perf_counter_ns()
    ruling: Ruling[T]
    try:
        ruling = await asked
    except asyncio.CancelledError as error:
        trail.ruled(point, reason_of(error), (time.perf_counter_ns() - began) // 1000)
        raise
    except Exception as error:  # noqa: BLE001 - a stage that raises has refused, whatever it raised
        ruling = _unavailable(point, error)
    return _effect(trail, point, ruling, began)


def enforce_now(trail: Trail, point: Point, ask: Callable[[], Ruling[T]]) -> T:
    """Like `enforce`, for a stage that rules without waiting.

    Raises:
        Refused: The stage refused, or could not rule.
    """
    began = time.perf_counter_ns()
    ruling: Ruling[T]
    try:
        ruling = ask()
    except Exception as error:  # noqa: BLE001 - a stage that raises has refused, whatever it raised
        ruling = _unavailable(point, error)
    return _effect(trail, point, ruling, began)


def enforce_fragment(trail: Trail, feed: Callable[[F], Ruling[T]], fragment: F) -> T:
    """Screen one fragment of a stream. What it finds is noted; that it passed is not, or a stream would be all notes.

    Raises:
        Refused: The screen stopped the stream, or could not rule.
    """
    ruling: Ruling[T]
    try:
        ruling = feed(fragment)
    except Exception as error:  # noqa: BLE001 - a stage that raises has refused, whatever it raised
        ruling = _unavailable(Point.SCREEN_OUTPUT, error)
    if isinstance(ruling, Allow):
        if ruling.findings:
            trail.found(ruling.findings, "output")
        return ruling.value
    trail.ruled(Point.SCREEN_OUTPUT, ruling, 0)
    raise Refused(ruling)


_GONE = Deny(Code.CANCELLED, "builtin:caller-gone", "The caller closed the connection.")


def reason_of(error: BaseException | None) -> Deny:
    """Why a request was cancelled: what the cancellation says, else the caller left."""
    why = error.args[0] if error is not None and error.args else None
    return why if isinstance(why, Deny) else _GONE


def _unavailable(point: Point, error: Exception) -> Deny:
    log.error("%s raised instead of ruling", point, exc_info=error)
    code = UNAVAILABLE.get(point, Code.INTERNAL_ERROR)
    return Deny(code, f"{point}:unavailable", "The check could not be completed.")


def _effect(trail: Trail, point: Point, ruling: Ruling[T], began_ns: int) -> T:
    trail.ruled(point, ruling, (time.perf_counter_ns() - began_ns) // 1000)
    if isinstance(ruling, Allow):
        return ruling.value
    raise Refused(ruling)
