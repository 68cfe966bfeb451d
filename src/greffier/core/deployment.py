"""A deployment: one concrete place where a model can be called."""

from typing import Literal

import msgspec

MICRO = 1_000_000


class Price(msgspec.Struct, frozen=True):
    """Micro-units of currency (1/1,000,000) per million tokens; exact integers.

    Attributes:
        input_micro: Per million prompt tokens.
        output_micro: Per million generated tokens.
        cached_micro: Per million prompt tokens read from the provider's cache.
    """

    input_micro: int
    output_micro: int
    cached_micro: int | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Cost in micro-units, rounded up so that a call is never billed as free by rounding."""
        cached = self.input_micro if self.cached_micro is None else self.cached_micro
        total = input_tokens * self.input_micro + output_tokens * self.output_micro + cached_tokens * cached
        return -(-total // MICRO)


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds to wait for a connection, for the first token (or the whole plain answer's headers), and in all."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    total_s: float = 600.0


class Deployment(msgspec.Struct, frozen=True):
    """One concrete place where a model can be called. Holds no secret; the provider adapter does.

    Attributes:
        name: Unique in the workspace.
        provider: Which adapter speaks to it.
        model: Model name to send upstream.
        location: Whether the machine is ours.
        region: Where the data goes (``eu``, ``us``, ``local``...).
        data_classes: Data classes it may process.
        price: None when unknown; unknown is never zero.
        timeouts: How long to wait.
        capabilities: ``chat``, ``embeddings``, ``tools``, ``images``, ``image_urls`` (its server fetches them),
            ``json_schema``.
        max_output_tokens: Default cap when the caller sets none.
        context_tokens: Size of the context window, if known.
        extra_parameters: Non-standard request parameters that may be passed on.
    """

    name: str
    provider: str
    model: str
    location: Literal["on_premises", "external"]
    region: str
    data_classes: tuple[str, ...]
    price: Price | None = None
    timeouts: Timeouts = Timeouts()
    capabilities: tuple[str, ...] = ("chat", "tools", "images", "json_schema")
    max_output_tokens: int = 4096
    context_tokens: int | None = None
    extra_parameters: tuple[str, ...] = ()
