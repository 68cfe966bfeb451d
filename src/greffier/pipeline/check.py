"""Run the guardrails alone: the same screens and the same record, without a model."""

from collections.abc import Callable

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, enforce, enforce_now
from greffier.core.context import Arrival, Ask
from greffier.core.rulings import Ruling
from greffier.guardrails.check import Checker, CheckRequest, CheckResponse, Moderation
from greffier.limits.service import Need
from greffier.llm.tokens import estimate_text
from greffier.pipeline.asks import ModerationRequest
from greffier.pipeline.visit import Entrance

_ASK = Ask("check")


class CheckPipeline:
    """The path of a text that is only to be checked."""

    def __init__(self, *, entrance: Entrance, checker: Checker) -> None:
        self._entrance = entrance
        self._checker = checker

    async def run(self, arrival: Arrival, decode: Callable[[], Ruling[CheckRequest]]) -> CheckResponse:
        """Check one text.

        Raises:
            Refused: The caller may not, or a detector could not measure.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            request = enforce_now(visit.trail, Point.DECODE, decode)
            grant = self._entrance.permit(visit, context, _ASK)
            await self._entrance.reserve(visit, context, grant, _need(request.text))
            verdict = await enforce(visit.trail, Point.SCREEN_INPUT, self._checker.check(request, grant))
            await visit.answered(Answered())
        return verdict

    async def moderate(
        self, arrival: Arrival, decode: Callable[[], Ruling[ModerationRequest]]
    ) -> tuple[Moderation, ...]:
        """Measure texts in the words of OpenAI's moderation endpoint.

        Raises:
            Refused: The caller may not, or a detector could not measure.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            request = enforce_now(visit.trail, Point.DECODE, decode)
            grant = self._entrance.permit(visit, context, _ASK)
            await self._entrance.reserve(visit, context, grant, _need(*request.inputs))
            verdicts = await enforce(visit.trail, Point.SCREEN_INPUT, self._checker.moderate(request.inputs, grant))
            await visit.answered(Answered())
        return verdicts


def _need(*texts: str) -> Need:
    """Checking costs tokens of the rate, no money."""
    return Need(sum(map(estimate_text, texts)), 0)
