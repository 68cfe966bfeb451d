"""The governed path of a conversation.

    gateway - authenticate - authorize - limits - screen input - ground - choose - call - screen output

Nothing reaches a model before its admission is durable; no last byte leaves before its outcome is.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping

import msgspec

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, enforce, enforce_now
from greffier.core.chat import ChatRequest, ChatResponse
from greffier.core.context import Arrival, Grant, RequestContext, Route
from greffier.core.rulings import Ruling
from greffier.guardrails.prompt import Placed
from greffier.guardrails.screen import Guard, ScreenedInput
from greffier.limits.service import Need
from greffier.llm.cost import cost_of
from greffier.llm.tokens import estimate_prompt, estimate_usage, is_doubtful, whole_usage
from greffier.pipeline.answers import ChatAnswer, ChatStream
from greffier.pipeline.call import Called, Caller
from greffier.pipeline.capture import Capture
from greffier.pipeline.facts import answers_asked, ask_of, capabilities, need_of, params_bytes
from greffier.pipeline.ground import Grounding
from greffier.pipeline.review import ReviewDesk
from greffier.pipeline.stream import StreamRelease
from greffier.pipeline.visit import Entrance, Visit
from greffier.router.choose import Router
from greffier.router.permit import RouteNeeds


class ChatPipeline:
    """The order of the stages for one snapshot of the configuration."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        guard: Guard,
        reviews: ReviewDesk,
        grounding: Grounding,
        router: Router,
        caller: Caller,
        capture: Capture,
        output_caps: Mapping[str, int],
        extra_parameters: Collection[str] = (),
    ) -> None:
        self._entrance = entrance
        self._guard = guard
        self._reviews = reviews
        self._grounding = grounding
        self._router = router
        self._caller = caller
        self._capture = capture
        self._output_caps = output_caps
        self._extra_parameters = extra_parameters

    async def run(self, arrival: Arrival, decode: Callable[[], Ruling[ChatRequest]]) -> ChatAnswer | ChatStream:
        """Take a request through every stage.

        Args:
            arrival: The request as it came in.
            decode: Reads the body; called only once the caller is known.

        Raises:
            Refused: A stage refused; the refusal is on record.
        """
        async with self._entrance.visit(arrival) as visit:
            return await self._pass(visit, arrival, decode)

    async def count(self, arrival: Arrival, decode: Callable[[], Ruling[ChatRequest]]) -> int:
        """Estimate a prompt's tokens for a caller who may ask for its model; no model is called.

        Raises:
            Refused: The caller is unknown or may not.
        """
        async with self._entrance.visit(arrival) as visit:
            context = await self._entrance.identify(visit, arrival)
            request = enforce_now(visit.trail, Point.DECODE, decode)
            grant = self._entrance.permit(visit, context, ask_of(request), request.end_user)
            tokens = estimate_prompt(request) + self._grounding.tokens(grant)
            await visit.answered(Answered())
        return tokens

    async def _pass(
        self, visit: Visit, arrival: Arrival, decode: Callable[[], Ruling[ChatRequest]]
    ) -> ChatAnswer | ChatStream:
        trail = visit.trail
        context = await self._entrance.identify(visit, arrival)
        request = enforce_now(trail, Point.DECODE, decode)
        grant = self._entrance.permit(visit, context, ask_of(request), request.end_user)
        prompt_tokens = estimate_prompt(request)
        need = self._need(request, grant, prompt_tokens)
        await self._entrance.reserve(visit, context, grant, need)
        screening_input = self._reviews.screen(visit, arrival, context, grant, request)
        screened = await enforce(trail, Point.SCREEN_INPUT, screening_input)
        self._entrance.permit_data(visit, grant, screened.data_classes)
        placed = enforce_now(trail, Point.GROUND, lambda: self._grounding.place(screened, grant))
        tokens = prompt_tokens if screened.request is request else estimate_prompt(screened.request)
        route = enforce_now(
            trail, Point.CHOOSE, lambda: self._router.choose(grant, self._needs(context, screened, tokens))
        )
        self._note_route(visit, placed, route, screened)
        parts = await self._capture.prompt(grant, arrival.request_id, placed.request)
        await trail.admit(parts, need.tokens, need.cost_micro or 0)
        if request.stream:
            opened = await enforce(trail, Point.CALL, self._caller.open(route, placed.request, trail))
            screen = self._guard.open_stream(screened, placed)
            release = StreamRelease(visit, grant, placed.request, opened, screen=screen)
            return release.to(self._caller, self._capture)
        called = await enforce(trail, Point.CALL, self._caller.complete(route, placed.request, trail))
        visit.used = _used(placed.request, called)
        screening = self._guard.screen_output(called.response, screened, placed)
        response = await enforce(trail, Point.SCREEN_OUTPUT, screening)
        return await self._answer(visit, grant, response)

    def _need(self, request: ChatRequest, grant: Grant, prompt_tokens: int) -> Need:
        """What to reserve: bounded by the dearest deployment that may answer, so that it can only be too much."""
        price = self._router.worst_price(grant, RouteNeeds(capabilities=capabilities(request)))
        return need_of(request, price, prompt_tokens + self._grounding.tokens(grant), self._output_caps[grant.model])

    async def _answer(self, visit: Visit, grant: Grant, response: ChatResponse) -> ChatAnswer:
        """Record the answer, then let it go."""
        text = "".join(c.message.content for c in response.choices if isinstance(c.message.content, str))
        parts = await self._capture.answer(grant, visit.request_id, text)
        await visit.answered(msgspec.structs.replace(visit.used, chars=len(text), parts=parts))
        shown = msgspec.structs.replace(response, id=visit.request_id, model=grant.model, usage=visit.used.usage)
        return ChatAnswer(shown, visit.headers())

    def _note_route(self, visit: Visit, placed: Placed, route: Route, screened: ScreenedInput) -> None:
        chosen = route.candidates[0]
        request = screened.request
        visit.trail.learn(
            deployment=chosen.name,
            provider=chosen.provider,
            region=chosen.region,
            why=route.why,
            stream=request.stream,
            prompt=placed.prompt,
            prompt_digest=placed.prompt_digest,
            params_digest=hashlib.sha256(params_bytes(request)).hexdigest(),
            data_classes=screened.data_classes,
        )

    def _needs(self, context: RequestContext, screened: ScreenedInput, prompt_tokens: int) -> RouteNeeds:
        """What the router must respect; obligations found by the screen bind every retry and fallback."""
        request = screened.request
        return RouteNeeds(
            capabilities=capabilities(request),
            data_classes=screened.data_classes,
            on_premises_only=screened.on_premises_only,
            tokens=prompt_tokens + (request.max_tokens or 1),
            parameters=tuple(name for name in self._extra_parameters if name in request.params),
            sticky_key=f"{context.tenant}:{context.principal.credential_id}",
        )


def _used(sent: ChatRequest, called: Called) -> Answered:
    """What an answer cost, whether or not it passes the output screen."""
    response, price = called.response, called.deployment.price
    usage = response.usage
    if usage is None or is_doubtful(usage, answers_asked(sent)):
        usage = whole_usage(usage, estimate_usage(sent, response))
    return Answered(
        deployment=called.deployment.name,
        model=response.model,
        finish_reason=response.choices[0].finish_reason or "" if response.choices else "",
        usage=usage,
        cost_micro=cost_of(usage, price),
        priced=price is not None,
    )
