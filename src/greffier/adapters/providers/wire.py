"""What all providers share in reading answers."""

from typing import TypeVar

import msgspec

from greffier.adapters.http import Exchange
from greffier.adapters.providers.errors import from_status, malformed

T = TypeVar("T")
_OK = 200


def read_answer(exchange: Exchange, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode the body of a plain answer.

    Raises:
        ProviderError: An error status, another content type than JSON, or a body that does not fit.
    """
    body = exchange.body()
    if exchange.status != _OK:
        raise from_status(exchange.status, exchange.headers, body)
    if "json" not in exchange.headers.get(b"content-type", "").lower():
        raise malformed("something else than JSON")
    return decode(body, decoder, "an answer")


def decode(data: bytes, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """Decode JSON from a model's server.

    Raises:
        ProviderError: It is not JSON, or of another shape.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise malformed(f"{what} of an unexpected shape: {_place(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed(f"{what} that is not JSON") from None


def _place(error: msgspec.ValidationError) -> str:
    """Types and path from the validator's message; it never quotes values of strings."""
    return str(error)[:200]
