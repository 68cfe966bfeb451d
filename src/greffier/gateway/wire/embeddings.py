"""``POST /v1/embeddings`` (OpenAI): texts in, vectors out."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greffier.core.chat import EmbeddingRequest, EmbeddingResponse, Usage
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import decode, invalid
from greffier.gateway.wire.chat_request import Count, EndUser

_encode = msgspec.json.Encoder().encode
MAX_INPUTS = 2048


class WireEmbeddings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body. Arrays of token numbers are typed only so that they can be refused by name."""

    input: str | Annotated[tuple[str | int | tuple[int, ...], ...], Meta(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Count | None = None
    user: EndUser | None = None


class WireEmbedding(msgspec.Struct, frozen=True):
    """One vector."""

    index: int
    embedding: list[float] | str
    object: str = "embedding"


_decoder = msgspec.json.Decoder(WireEmbeddings)


def decode_embeddings(body: bytes, *, max_depth: int) -> Ruling[EmbeddingRequest]:
    """Decode a request. Token numbers are refused: what cannot be read cannot be screened."""
    ruling = decode(_decoder, body, max_depth=max_depth)
    if isinstance(ruling, Deny):
        return ruling
    wire = ruling.value
    inputs = (wire.input,) if isinstance(wire.input, str) else wire.input
    texts = tuple(text for text in inputs if isinstance(text, str))
    if len(texts) != len(inputs):
        return invalid(
            "input",
            "Token numbers cannot be screened",
            "Send text; with LangChain set check_embedding_ctx_length=False.",
        )
    if not all(texts):
        return invalid("input", "An input is empty", "Leave empty texts out.")
    return Allow(
        EmbeddingRequest(wire.model or "", texts, wire.dimensions, wire.encoding_format or "float", wire.user),
        "gateway.decode",
    )


def encode_embeddings(response: EmbeddingResponse) -> bytes:
    """The body of the answer."""
    usage = response.usage or Usage()
    body: dict[str, Any] = {
        "object": "list",
        "data": [WireEmbedding(index, vector) for index, vector in enumerate(response.vectors)],
        "model": response.model,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens},
    }
    return _encode(body)
