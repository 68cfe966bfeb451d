"""Take a user's verdict on an answer: it must be the caller's own answer, and the verdict joins its record."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from greffier.audit.ports import ContentStore, JournalReader, JournalUnavailable
from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, enforce, enforce_now
from greffier.core.context import Arrival, Ask, Grant, RequestContext
from greffier.core.errors import Code
from greffier.core.events import Admission, Feedback, PartLine, parse
from greffier.core.ids import new_id
from greffier.core.rulings import Allow, Deny, Refused, Ruling
from greffier.pipeline.asks import FeedbackRequest
from greffier.pipeline.capture import keep
from greffier.pipeline.visit import Entrance

_UNKNOWN = Deny(
    Code.RECORD_NOT_FOUND,
    "builtin:own-answers-only",
    "There is no answer of yours with this request id.",
    param="request_id",
)


class FeedbackObserver(Protocol):
    """Counts verdicts."""

    def fed_back(self, use_case: str, outcome: str) -> None:
        """Take note of a verdict."""
        ...


class FeedbackPipeline:
    """The path of a verdict."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        reader: Callable[[], JournalReader],
        content: ContentStore,
        observer: FeedbackObserver,
    ) -> None:
        self._entrance = entrance
        self._reader = reader
        self._content = content
        self._observer = observer

    async def run(self, arrival: Arrival, decode: Callable[[], Ruling[FeedbackRequest]]) -> dict[str, Any]:
        """Record a verdict.

        Raises:
            Refused: The caller may not, or the answer is not theirs, or the verdict could not be made durable.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            verdict = enforce_now(visit.trail, Point.DECODE, decode)
            grant = self._entrance.permit(visit, context, Ask("feedback"))
            person = await enforce(visit.trail, Point.AUTHORIZE, self._own(context, verdict.request_id))
            event = Feedback(
                id=new_id("evt"),
                ts=self._entrance.evidence.clock.wall_ms(),
                tenant=context.tenant,
                request_id=verdict.request_id,
                actor=context.principal.ref,
                use_case=context.use_case,
                rating=verdict.rating,
                outcome=verdict.outcome or "",
                edited=verdict.edited,
                reason=verdict.reason,
                parts=await self._comment(grant, person, verdict),
            )
            await self._keep(event)
            await visit.answered(Answered())
        self._observer.fed_back(context.use_case, verdict.outcome or "rated")
        return {"id": event.id, "object": "feedback", "request_id": verdict.request_id}

    async def _own(self, context: RequestContext, request_id: str) -> Ruling[str]:
        """Whose the answer is, if it went to this tenant and use case; anything else looks as if it did not exist."""
        found = await asyncio.to_thread(lambda: self._reader().find(request_id))
        for row in found:
            event = parse(row.data)
            if (
                isinstance(event, Admission)
                and event.tenant == context.tenant
                and event.facts.use_case == context.use_case
            ):
                return Allow(event.facts.end_user_ref, "builtin:own-answers-only")
        return _UNKNOWN

    async def _comment(self, grant: Grant, person: str, verdict: FeedbackRequest) -> tuple[PartLine, ...]:
        if not verdict.comment:
            return ()
        return await keep(
            self._content, grant, verdict.request_id, {"feedback": verdict.comment.encode()}, subject=person
        )

    async def _keep(self, event: Feedback) -> None:
        try:
            await self._entrance.evidence.journal.append(event)
        except JournalUnavailable as error:
            reason = "The verdict could not be made durable."
            raise Refused(Deny(Code.JOURNAL_UNAVAILABLE, "builtin:record-before-effect", reason)) from error
