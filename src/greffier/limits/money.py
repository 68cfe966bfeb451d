"""Exact money: decimal strings of the workspace become whole micro-units; no float ever touches them."""

from greffier.core.deployment import MICRO

_DECIMALS = 6


def micro(amount: str) -> int:
    """Micro-units of a decimal amount: ``"12.5"`` is 12,500,000.

    Raises:
        ValueError: Not a plain decimal number, negative, or finer than a micro-unit.
    """
    whole, point, fraction = amount.partition(".")
    digits = whole.isascii() and whole.isdigit() and fraction.isascii() and (fraction.isdigit() or not point)
    if not digits or len(fraction) > _DECIMALS:
        raise ValueError(f"{amount!r} is not an amount with at most {_DECIMALS} decimals")
    return int(whole) * MICRO + int(fraction.ljust(_DECIMALS, "0"))
