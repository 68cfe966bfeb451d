"""One request on its way through the pipeline, and what must be put in order however it ends."""

import asyncio
from types import TracebackType

import msgspec

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, Ending, Evidence, Trail, enforce, enforce_now, reason_of
from greffier.core.context import Arrival, Ask, Grant, RequestContext
from greffier.core.errors import REFUSALS, Code
from greffier.core.rulings import Deny, Refused
from greffier.identity.authenticators import Authenticators
from greffier.limits.service import Limits, Need, Reservation, Spent
from greffier.pipeline.facts import grant_facts
from greffier.pipeline.freshness import EXPIRED, Expiry
from greffier.policy.decide import PolicyDecisionPoint

NOT_ANSWERED = Answered()
"""What the record says where no model was called: nothing used, nothing spent."""


class Visit:
    """The trail of a request together with what it holds: both are closed exactly once, on every way out.

    Closing needs no protection from a caller who hangs up meanwhile: settling never waits, and an event that was handed
    to the journal becomes durable whoever stops waiting for it.
    """

    def __init__(self, arrival: Arrival, evidence: Evidence, limits: Limits) -> None:
        self.trail = Trail(arrival, evidence)
        self.hold: Reservation | None = None
        self._limits = limits
        self._over = False
        self.used = NOT_ANSWERED
        self.request_id = arrival.request_id

    def identified(self, context: RequestContext) -> None:
        """Note who is asking."""
        self.trail.tenant = context.tenant
        principal = context.principal
        self.trail.learn(
            actor=principal.ref,
            actor_type=principal.type,
            authn=principal.authn,
            credential=principal.credential_id,
            roles=principal.roles,
            use_case=context.use_case,
        )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Response headers that tell the caller which limits apply, under which rules the request ran, and its price.

        Those of a stream leave with its first fragment: the times say what passed until there, and no cost is known.
        """
        trail, used = self.trail, self.used
        facts = trail.facts
        took = trail.elapsed_us()
        headers = [
            *(self.hold.headers if self.hold else ()),
            ("openai-processing-ms", str(took // 1000)),
            ("x-greffier-overhead-us", str(max(took - trail.upstream_us, 0))),
        ]
        headers.append(("x-greffier-bundle", facts.bundle[:16]))
        if facts.policy_rules:
            headers.append(("x-greffier-policy", ",".join(facts.policy_rules)))
        if facts.deployment:
            answered_by = trail.answered_by or facts.deployment
            stood_in = f"; {answered_by} stood in for it" if answered_by != facts.deployment else ""
            headers.append(("x-greffier-deployment", answered_by))
            headers.append(("x-greffier-route", facts.why + stood_in))
        if used.deployment and used.priced:
            headers.append(("x-greffier-cost-micro", str(used.cost_micro)))
        if edits := trail.edits:
            headers.append(("x-greffier-guardrails", ",".join(edits)))
        if facts.review:
            headers.append(("x-greffier-review", facts.review.review))
            headers.append(("x-greffier-review-status", f"/v1/reviews/{facts.review.review}"))
        return tuple(headers)

    async def answered(self, answer: Answered) -> None:
        """Settle and record an answer. Once this returns, its last byte may leave.

        Raises:
            Refused: The outcome could not be made durable.
        """
        self._over = True
        self.used = answer
        await self._close("answered", None)

    async def refused(self, refused: Refused) -> Refused:
        """Settle and record a refusal, and return what the caller is to be told."""
        if not self._over:
            self._over = True
            failed = refused.ruling.code.startswith("upstream") or refused.ruling.code is Code.INTERNAL_ERROR
            try:
                await self._close("failed" if failed else "denied", refused.ruling)
            except Refused as unrecorded:
                refused = unrecorded
        return Refused(refused.ruling, (*self.headers(), *refused.headers))

    async def abandoned(self, why: Deny) -> None:
        """Settle and record why nobody waits for the rest; what had been generated until then is paid for."""
        if self._over:
            return
        self._over = True
        try:
            await self._close("cancelled", why)
        except Refused:
            return  # logged by the trail; there is nobody left to tell

    async def _close(self, how: Ending, ruling: Deny | None) -> None:
        charged: int | None = None
        if self.hold is not None:
            spent = self._spent()
            await self._limits.settle(self.hold, spent)
            if spent.cost_micro is None:
                charged = self.hold.cost_micro
        await self.trail.conclude(how, ruling, self.used, charged)

    def _spent(self) -> Spent:
        """What to charge. Where a model was called and nobody knows what it used, the reservation counts as spent."""
        used = self.used
        if used.deployment:
            return Spent(used.usage.total_tokens, used.cost_micro if used.priced else None)
        return Spent(None, None) if self.trail.called else Spent(0, 0)


class Visiting:
    """Settles and records a visit on every way out.

    Raises:
        Refused: On the way out, what was refused inside, with the headers that go out beside it.
    """

    __slots__ = ("_visit",)

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    async def __aenter__(self) -> Visit:
        return self._visit

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, Refused):
            raise await self._visit.refused(error) from error
        if isinstance(error, asyncio.CancelledError):
            await self._visit.abandoned(reason_of(error))


class Entrance(msgspec.Struct, frozen=True):
    """What every request meets, whatever it asks for: who are you, may you, how much, and all of it on record."""

    authenticators: Authenticators
    policy: PolicyDecisionPoint
    limits: Limits
    evidence: Evidence
    expiry: Expiry

    def visit(self, arrival: Arrival) -> "Visiting":
        """Begin a visit: ``async with entrance.visit(arrival) as visit``."""
        return Visiting(Visit(arrival, self.evidence, self.limits))

    async def known(self, arrival: Arrival) -> bool:
        """Whether the credential may be valid; False only where asking again would bring the same refusal."""
        ruling = await self.authenticators.authenticate(arrival)
        return not isinstance(ruling, Deny) or REFUSALS[ruling.code].retry

    async def identify(self, visit: Visit, arrival: Arrival) -> RequestContext:
        """Say who is asking.

        Raises:
            Refused: Nobody we know, or the configuration is too old to say so.
        """
        if self.expiry.passed():
            enforce_now(visit.trail, Point.IN_FORCE, lambda: EXPIRED)
        if self.expiry.time_source != "synchronised":
            visit.trail.learn(ts_src=self.expiry.time_source)
        context = await enforce(visit.trail, Point.AUTHENTICATE, self.authenticators.authenticate(arrival))
        visit.identified(context)
        return context

    def permit(self, visit: Visit, context: RequestContext, ask: Ask, end_user: str | None = None) -> Grant:
        """Say whether they may, and under which obligations.

        Args:
            visit: The request so far.
            context: Who is asking.
            ask: What they ask for.
            end_user: Whom the caller says it is for; from here on known by a keyed reference of the tenant.

        Raises:
            Refused: They may not.
        """
        if end_user:
            reference = self.evidence.reference(f"end_user:{context.tenant}", end_user)
            visit.trail.learn(end_user_ref=reference)
            ask = msgspec.structs.replace(ask, subject=reference)
        grant = enforce_now(visit.trail, Point.AUTHORIZE, lambda: self.policy.authorize(context, ask))
        visit.trail.learn(action=ask.action, **grant_facts(grant))
        doubtful = self.expiry.refusal(grant.risk_class)
        if doubtful is not None:
            enforce_now(visit.trail, Point.IN_FORCE, lambda: doubtful)
        return grant

    def permit_data(self, visit: Visit, grant: Grant, found: tuple[str, ...]) -> None:
        """Say whether the data that was found may be processed for this use case at all.

        Raises:
            Refused: It may not.
        """
        enforce_now(visit.trail, Point.PERMIT_DATA, lambda: self.policy.permit_data(grant, found))

    async def reserve(self, visit: Visit, context: RequestContext, grant: Grant, need: Need) -> None:
        """Set room aside under every ceiling that applies.

        Raises:
            Refused: There is none.
        """
        try:
            visit.hold = await enforce(visit.trail, Point.RESERVE, self.limits.reserve(context, grant, need))
        except Refused as refused:
            raise Refused(refused.ruling, self.limits.headers(context, grant)) from refused
