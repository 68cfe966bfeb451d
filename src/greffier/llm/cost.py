"""What tokens cost, in exact integers."""

from greffier.core.chat import Usage
from greffier.core.deployment import Price


def cost_of(usage: Usage, price: Price | None) -> int:
    """Micro-units of currency for a usage; 0 where no price is known (the limits decide whether that may happen)."""
    if price is None:
        return 0
    return price.cost(usage.input_tokens + usage.cache_write_tokens, usage.output_tokens, usage.cached_tokens)
