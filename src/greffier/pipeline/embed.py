"""The governed path of texts on their way to vectors: a conversation's stages, without an answer to screen."""

from collections.abc import Callable

import msgspec

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, enforce, enforce_now
from greffier.core.chat import EmbeddingRequest, Usage
from greffier.core.context import Arrival, Ask
from greffier.core.rulings import Ruling
from greffier.guardrails.screen import Guard
from greffier.limits.service import Need
from greffier.llm.cost import cost_of
from greffier.llm.tokens import estimate_text
from greffier.pipeline.answers import EmbedAnswer
from greffier.pipeline.call import Caller
from greffier.pipeline.visit import Entrance, Visit
from greffier.router.choose import Router
from greffier.router.permit import RouteNeeds

_CAPABILITIES = ("embeddings",)


class EmbedPipeline:
    """The order of the stages for one snapshot of the configuration."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        guard: Guard,
        router: Router,
        caller: Caller,
    ) -> None:
        self._entrance = entrance
        self._guard = guard
        self._router = router
        self._caller = caller

    async def run(self, arrival: Arrival, decode: Callable[[], Ruling[EmbeddingRequest]]) -> EmbedAnswer:
        """Take texts through every stage.

        Raises:
            Refused: A stage refused; the refusal is on record.
        """
        async with self._entrance.visit(arrival) as visit:
            return await self._pass(visit, arrival, decode)

    async def _pass(
        self, visit: Visit, arrival: Arrival, decode: Callable[[], Ruling[EmbeddingRequest]]
    ) -> EmbedAnswer:
        trail = visit.trail
        context = await self._entrance.identify(visit, arrival)
        request = enforce_now(trail, Point.DECODE, decode)
        grant = self._entrance.permit(visit, context, Ask("embed", request.model), request.end_user)
        tokens = sum(map(estimate_text, request.inputs))
        price = self._router.worst_price(grant, RouteNeeds(capabilities=_CAPABILITIES))
        need = Need(tokens, None if price is None else price.cost(tokens, 0))
        await self._entrance.reserve(visit, context, grant, need)
        screened = await enforce(trail, Point.SCREEN_INPUT, self._guard.screen_texts(request.inputs, grant))
        self._entrance.permit_data(visit, grant, screened.data_classes)
        needs = RouteNeeds(
            capabilities=_CAPABILITIES,
            data_classes=screened.data_classes,
            on_premises_only=screened.on_premises_only,
        )
        route = enforce_now(trail, Point.CHOOSE, lambda: self._router.choose(grant, needs))
        chosen = route.candidates[0]
        trail.learn(
            deployment=chosen.name,
            provider=chosen.provider,
            region=chosen.region,
            why=route.why,
            data_classes=screened.data_classes,
        )
        await trail.admit((), need.tokens, need.cost_micro or 0)
        sent = msgspec.structs.replace(request, inputs=screened.texts)
        called = await enforce(trail, Point.CALL, self._caller.embed(route, sent, trail))
        usage = called.response.usage or Usage(input_tokens=tokens, estimated=True)
        await visit.answered(
            Answered(
                deployment=called.deployment.name,
                model=called.response.model,
                usage=usage,
                cost_micro=cost_of(usage, called.deployment.price),
                priced=called.deployment.price is not None,
            )
        )
        return EmbedAnswer(msgspec.structs.replace(called.response, model=grant.model, usage=usage), visit.headers())
