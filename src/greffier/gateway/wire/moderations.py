"""``POST /v1/moderations`` (OpenAI): what our own screen measures, in OpenAI's shape."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greffier.core.context import Arrival
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import decode
from greffier.guardrails.check import Moderation
from greffier.pipeline.asks import ModerationRequest

_encode = msgspec.json.Encoder().encode
MODEL = "greffier-guardrails"

# SDKs read these names; they are always present, beside the categories of our own.
OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class TextInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text of a multi-modal request; images are not measured here and are refused."""

    text: str
    type: Literal["text"]


class WireModerations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body."""

    input: str | Annotated[tuple[str | TextInput, ...], Meta(min_length=1, max_length=256)]
    model: str | None = None


_decoder = msgspec.json.Decoder(WireModerations)


def decode_moderations(body: bytes, *, max_depth: int) -> Ruling[ModerationRequest]:
    """Decode a request."""
    ruling = decode(_decoder, body, max_depth=max_depth)
    if isinstance(ruling, Deny):
        return ruling
    wire = ruling.value
    inputs = (wire.input,) if isinstance(wire.input, str) else wire.input
    texts = tuple(text if isinstance(text, str) else text.text for text in inputs)
    return Allow(ModerationRequest(texts, wire.model or ""), "gateway.decode")


def encode_moderations(verdicts: tuple[Moderation, ...], arrival: Arrival) -> bytes:
    """The body of the answer."""
    results = [_result(verdict) for verdict in verdicts]
    return _encode({"id": f"modr_{arrival.request_id.removeprefix('req_')}", "model": MODEL, "results": results})


def _result(verdict: Moderation) -> dict[str, object]:
    names = dict.fromkeys((*OPENAI_CATEGORIES, *verdict.scores, *verdict.categories))
    return {
        "flagged": verdict.flagged,
        "categories": {name: name in verdict.categories for name in names},
        "category_scores": {name: verdict.scores.get(name, 0.0) for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
