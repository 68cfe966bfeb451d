"""``POST /v1/completions`` (OpenAI, legacy): a prompt, into a conversation of one turn."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from greffier.core.chat import ChatRequest, Message
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import TokenId, decode, unsupported
from greffier.gateway.wire.chat_request import Count, EndUser, Number, Penalty, StreamOptions


class WireLegacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body."""

    prompt: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    user: EndUser | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType | None = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    n: Annotated[int, Meta(ge=1, le=16)] | UnsetType | None = UNSET
    stop: str | Annotated[tuple[str, ...], Meta(max_length=4)] | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    presence_penalty: Penalty | UnsetType | None = UNSET
    frequency_penalty: Penalty | UnsetType | None = UNSET
    logit_bias: dict[TokenId, Number] | UnsetType | None = UNSET
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Any = None


_PASSED_ON = (
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
)
_REFUSED = ("suffix", "echo", "logprobs")
_REMEDY = "Use /v1/chat/completions, which replaced this endpoint."
_decoder = msgspec.json.Decoder(WireLegacy)


def decode_legacy(body: bytes, *, max_depth: int) -> Ruling[ChatRequest]:
    """Decode a request; what only raw text completion can do is refused by name."""
    ruling = decode(_decoder, body, max_depth=max_depth)
    if isinstance(ruling, Deny):
        return ruling
    wire = ruling.value
    for name in _REFUSED:
        if getattr(wire, name):
            return unsupported(name, _REMEDY)
    if wire.best_of not in (None, 1):
        return unsupported("best_of", _REMEDY)
    params = {name: value for name in _PASSED_ON if (value := getattr(wire, name)) is not UNSET and value is not None}
    prompt = wire.prompt if isinstance(wire.prompt, str) else wire.prompt[0]
    return Allow(
        ChatRequest(
            model=wire.model or "",
            messages=(Message(role="user", content=prompt),),
            stream=bool(wire.stream),
            include_usage=wire.stream_options is not None and bool(wire.stream_options.include_usage),
            max_tokens=wire.max_tokens,
            params=params,
            end_user=wire.user,
        ),
        "gateway.decode",
    )
