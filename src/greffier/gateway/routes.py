"""Every path the gateway answers, what answers it, and in which dialect."""

import re
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
_LONGEST = 256  # of an unknown path, for whoever guesses at it

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

_TAILS = sorted(((path.removeprefix("/v1"), path) for path in ROUTES), key=lambda pair: -len(pair[0]))
_SLASHES = re.compile("/+")
_BASES = re.compile(
    r"(/(v\d+|api|openai|anthropic|chat/completions|completions|responses|messages|(engines|deployments)/[^/]+))*"
)
"""What base URLs begin with by mistake; ``/v1/threads/ID/messages`` is another API and not a mistaken base."""


def meant(path: str) -> str | None:
    """The route that an unknown path probably stands for: a base URL without its ``/v1``, or with too much behind it.

    Only for the words and the dialect of a refusal; nothing is ever served under another path than its own.
    """
    tidy = _SLASHES.sub("/", path[:_LONGEST]).rstrip("/").lower()
    for tail, route in _TAILS:
        if tidy.endswith(tail) and _BASES.fullmatch(tidy.removesuffix(tail)):
            return route
    return None
