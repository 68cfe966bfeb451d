"""Every path the gateway answers, what answers it, and in which dialect."""

from collections.abc import Awaitable, Callable

import msgspec

from greffier.core.context import Surface
from greffier.gateway.errors import Dialect
from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.gateway.surfaces.chat import chat_completions, completions
from greffier.gateway.surfaces.messages import count_tokens, messages
from greffier.gateway.surfaces.models import list_models
from greffier.gateway.surfaces.responses import responses
from greffier.gateway.surfaces.texts import embeddings, feedback, guardrails_check, moderations

Handler = Callable[[Exchange, Pipelines], Awaitable[None]]


class Route(msgspec.Struct, frozen=True):
    """One path.

    Attributes:
        method: The one method it answers.
        surface: What the pipeline and the record call it.
        handler: Answers it.
        dialect: How refusals look; None chooses by the ``anthropic-version`` header.
    """

    method: str
    surface: Surface
    handler: Handler
    dialect: Dialect | None = "openai"


OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
MODEL_PREFIX = "/v1/models/"
REVIEW_PREFIX = "/v1/reviews/"

ROUTES: dict[str, Route] = {
    "/v1/chat/completions": Route("POST", "chat_completions", chat_completions),
    "/v1/completions": Route("POST", "completions", completions),
    "/v1/responses": Route("POST", "responses", responses),
    "/v1/messages": Route("POST", "messages", messages, "anthropic"),
    "/v1/messages/count_tokens": Route("POST", "messages", count_tokens, "anthropic"),
    "/v1/embeddings": Route("POST", "embeddings", embeddings),
    "/v1/moderations": Route("POST", "moderations", moderations),
    "/v1/guardrails/check": Route("POST", "guardrails", guardrails_check),
    "/v1/feedback": Route("POST", "feedback", feedback),
    "/v1/models": Route("GET", "models", list_models, None),
}
