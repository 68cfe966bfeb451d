"""Amounts from the workspace as exact integers."""

from greffier.core.deployment import MICRO


def to_micro(amount: str) -> int:
    """Turn ``"0.15"`` into 150,000 micro-units; the settings' pattern admits at most six decimals."""
    whole, _, fraction = amount.partition(".")
    return int(whole) * MICRO + int(fraction.ljust(6, "0"))
