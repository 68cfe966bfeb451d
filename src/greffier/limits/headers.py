"""The headers SDKs read: ``x-ratelimit-*`` as OpenAI documents them."""

from collections.abc import Iterable

from greffier.limits.ports import Account, Level

_SECOND_MS = 1000

Headers = tuple[tuple[str, str], ...]


def duration(milliseconds: int) -> str:
    """A duration as OpenAI writes it: ``20ms``, ``1s``, ``6m0s``, ``1h0m0s``; rounded up, never too early."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    seconds = -(-milliseconds // _SECOND_MS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def rate_headers(levels: Iterable[tuple[Account, Level]]) -> Headers:
    """Headers for the tightest of the request and of the token accounts; none for a kind without a ceiling."""
    tightest: dict[str, tuple[Account, Level]] = {}
    for account, level in levels:
        known = tightest.get(account.kind)
        if known is None or level.remaining < known[1].remaining:
            tightest[account.kind] = (account, level)
    headers: list[tuple[str, str]] = []
    for kind in ("requests", "tokens"):
        if kind in tightest:
            account, level = tightest[kind]
            headers.append((f"x-ratelimit-limit-{kind}", str(account.limit)))
            headers.append((f"x-ratelimit-remaining-{kind}", str(level.remaining)))
            headers.append((f"x-ratelimit-reset-{kind}", duration(level.reset_ms)))
    return tuple(headers)
