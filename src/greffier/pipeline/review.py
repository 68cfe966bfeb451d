"""Requests that a person decides about: held while a screen setting allows it, else refused until approved."""

import asyncio
import logging

import msgspec

from greffier.audit.ports import ContentStore, ContentUnavailable, PartLabel
from greffier.boundary.trail import Answered
from greffier.core.chat import ChatRequest
from greffier.core.clock import Clock
from greffier.core.context import Arrival, Grant, RequestContext
from greffier.core.errors import Code
from greffier.core.events import ReviewLine
from greffier.core.ids import new_id
from greffier.core.rulings import Deny, Refused, Ruling
from greffier.guardrails.reviews import (
    Review,
    ReviewConflict,
    ReviewNotFound,
    ReviewStore,
    ReviewsUnavailable,
    digest_of,
    found_lines,
)
from greffier.guardrails.screen import Guard, ScreenedInput
from greffier.pipeline.answers import ReviewStatus
from greffier.pipeline.visit import Entrance, Visit

log = logging.getLogger(__name__)

HELD = frozenset({Code.ESCALATED, Code.APPROVAL_REQUIRED})
_LOOK_EVERY_S = 0.25
_ENCODER = msgspec.json.Encoder()


class Lookout:
    """Looks at the reviews that calls of this worker wait for: all of them in one question, however many there are."""

    def __init__(self, store: ReviewStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[Review]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._blind = False

    async def settled(self, review_id: str, within_s: float) -> Review | None:
        """The review as soon as it is no longer pending, wherever it was decided; None when that takes longer."""
        settled: asyncio.Future[Review] = asyncio.get_running_loop().create_future()
        self._waiting[review_id] = settled
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="reviews")
        try:
            async with asyncio.timeout(within_s):
                return await settled
        except TimeoutError:
            return None
        finally:
            del self._waiting[review_id]

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                found = await asyncio.to_thread(self._store.those, tuple(self._waiting))
            except ReviewsUnavailable as error:  # a failover is no decision: whoever waits goes on waiting
                if not self._blind:
                    log.warning("reviews that calls wait for cannot be read: %s", error)
                self._blind = True
                continue
            self._blind = False
            for review in found:
                waiting = self._waiting.get(review.id)
                if waiting is not None and not waiting.done() and review.status(self._clock.wall_ms()) != "pending":
                    waiting.set_result(review)


class ReviewDesk:
    """Screens input, and brings a person in where a rule says so.

    Args:
        guard: The screens of the snapshot.
        store: Where reviews are kept.
        content: Where what was said is kept, encrypted, for the reviewer.
        clock: Time.
    """

    def __init__(self, guard: Guard, store: ReviewStore, content: ContentStore, clock: Clock) -> None:
        self._guard = guard
        self._store = store
        self._content = content
        self._clock = clock
        self._lookout = Lookout(store, clock)

    async def screen(
        self, visit: Visit, arrival: Arrival, context: RequestContext, grant: Grant, request: ChatRequest
    ) -> Ruling[ScreenedInput]:
        """Screen a request; one that a rule escalates passes only with the approval of exactly this request."""
        ruling = await self._guard.screen_input(request, grant)
        if not isinstance(ruling, Deny) or ruling.code not in HELD:
            return ruling
        digest = digest_of(grant.tenant, grant.use_case, context.principal.ref, request)
        held = _Held(visit, context.principal.ref, grant, request, digest, ruling)
        try:
            return await (self._redeem(held, arrival.review) if arrival.review else self._hold(held))
        except (ReviewsUnavailable, ContentUnavailable) as error:
            log.error("the review of %s cannot be kept: %s", visit.request_id, error)  # noqa: TRY400 - says it all
            return held.because("A reviewer must decide, and the review could not be kept.", "Try again later.")

    async def _redeem(self, held: "_Held", review_id: str) -> Ruling[ScreenedInput]:
        """Let the request pass if the review approved it, and nobody used that before."""
        now_ms = self._clock.wall_ms()
        try:
            review = await asyncio.to_thread(
                self._store.use, review_id, held.digest, request_id=held.visit.request_id, now_ms=now_ms
            )
        except (ReviewNotFound, ReviewConflict) as error:
            why = "" if isinstance(error, ReviewNotFound) else f": {error}"
            reason = f"The review named in x-greffier-review does not approve this request{why}."
            return held.because(reason, "Repeat the approved request unchanged, or without the header.")
        held.visit.trail.learn(review=ReviewLine(review.id, "approved", review.decided_by, review.reason))
        return await self._guard.screen_input(held.request, held.grant, approved=True)

    async def _hold(self, held: "_Held") -> Ruling[ScreenedInput]:
        """Open a review, wait as long as the screen says, and refuse what is not decided by then."""
        settings = self._guard.screen(held.grant.screen).settings
        review = await self._open(held, settings.review_deadline_s * 1000)
        trail = held.visit.trail
        trail.learn(review=ReviewLine(review.id, "pending"))
        wait_s = settings.review_wait_s
        seen = await self._lookout.settled(review.id, wait_s) if wait_s else None
        status = seen.status(self._clock.wall_ms()) if seen else "pending"
        if status == "approved":
            return await self._redeem(held, review.id)
        if seen is not None:
            trail.learn(review=ReviewLine(review.id, status, seen.decided_by, seen.reason))
            if status == "rejected":
                return held.because("A reviewer rejected this request.", "Change the request.")
            return held.because("No reviewer decided in time.", "Send the request again.")
        again = f"once approved, repeat the request with 'x-greffier-review: {review.id}'."
        return held.because(held.ruling.reason, f"Ask GET /v1/reviews/{review.id}; {again}")

    async def _open(self, held: "_Held", valid_ms: int) -> Review:
        grant = held.grant
        review_id = new_id("rev")
        preview = await self._guard.preview(held.request, grant)
        parts = {"input": _ENCODER.encode(held.request), "preview": preview.encode()}
        label = PartLabel(
            subject=grant.subject,
            use_case=grant.use_case,
            purpose=grant.purpose,
            data_classes=grant.data_classes,
        )
        kept = await self._content.put(grant.tenant, review_id, parts, label)
        now_ms = self._clock.wall_ms()
        review = Review(
            id=review_id,
            tenant=grant.tenant,
            use_case=grant.use_case,
            principal=held.principal,
            request_id=held.visit.request_id,
            digest=held.digest,
            rule=held.ruling.rule,
            code=held.ruling.code.value,
            opened_ms=now_ms,
            deadline_ms=now_ms + valid_ms,
            valid_ms=valid_ms,
            found=found_lines(held.ruling.findings),
            parts={name: store_id for name, (store_id, _) in kept.items()},
        )
        await asyncio.to_thread(self._store.open, review)
        return review


class _Held(msgspec.Struct, frozen=True):
    """A request that a rule escalates, on its way to a reviewer."""

    visit: Visit
    principal: str
    grant: Grant
    request: ChatRequest
    digest: str
    ruling: Deny

    def because(self, reason: str, remedy: str) -> Deny:
        """The refusal, in other words."""
        return msgspec.structs.replace(self.ruling, reason=reason, remedy=remedy)


class ReviewsPipeline:
    """Tells a caller what became of its own reviews."""

    def __init__(self, *, entrance: Entrance, store: ReviewStore) -> None:
        self._entrance = entrance
        self._store = store

    async def run(self, arrival: Arrival, review_id: str) -> ReviewStatus:
        """The state of a review that a request of this caller opened.

        Raises:
            Refused: The caller is unknown, or the review is not theirs, or reviews cannot be read.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            try:
                review = await asyncio.to_thread(self._store.get, review_id)
            except ReviewNotFound:
                raise Refused(_UNKNOWN) from None
            except ReviewsUnavailable as error:
                log.error("reviews cannot be read: %s", error)  # noqa: TRY400 - the message says it all
                raise Refused(_UNREADABLE) from error
            owner = (review.tenant, review.use_case, review.principal)
            if owner != (context.tenant, context.use_case, context.principal.ref):
                raise Refused(_UNKNOWN)
            await visit.answered(Answered())
        now_ms = self._entrance.evidence.clock.wall_ms()
        return ReviewStatus(
            review.id,
            review.status(now_ms),
            review.code,
            review.opened_ms,
            review.deadline_ms,
            review.decided_ms,
            used=bool(review.used_by),
        )


_UNKNOWN = Deny(Code.RECORD_NOT_FOUND, "builtin:own-reviews-only", "There is no such review.", "Check the id.")
_UNREADABLE = Deny(Code.GUARDRAIL_UNAVAILABLE, "reviews:unavailable", "The reviews cannot be read.")
