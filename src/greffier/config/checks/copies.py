"""Checks of the ``copies:`` in ``greffier.yaml``."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from greffier.config.checks.references import environment
from greffier.config.problems import Path, Problem, quoted
from greffier.config.workspace import Sources

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_copies(sources: Sources) -> Iterator[Problem]:
    """Check that each address can be one, that nothing leaves unencrypted, and that no two logs share a place."""
    place = sources.settings
    if place is None:
        return
    seen: dict[tuple[str, str, str], str] = {}
    for name, copy in place.value.copies.items():
        path: Path = ("copies", name)
        yield from environment(place, (*path, "url"), copy.url)
        where = (copy.url, copy.bucket, copy.prefix.strip("/"))
        if where in seen:
            yield place.problem(
                path,
                "duplicate",
                f"The copies '{seen[where]}' and '{name}' go to the same place.",
                "Give one of them another bucket or prefix.",
                at_key=True,
            )
        seen.setdefault(where, name)
        if copy.url.startswith("env:"):
            continue
        try:
            parts = urlsplit(copy.url)
            scheme, host = parts.scheme, parts.hostname
        except ValueError:
            scheme, host = "", None
        if host is None or scheme not in {"https", "http"}:
            yield place.problem(
                (*path, "url"),
                "wrong_value",
                f"Expected an address like https://HOST, got {quoted(copy.url)}.",
                "Write 'https://' and the host of the S3 API; the bucket has a key of its own.",
            )
        elif scheme == "http" and host not in _LOOPBACK:
            yield place.problem(
                (*path, "url"),
                "insecure_url",
                f"Expected https://, got {quoted(copy.url)}: evidence would leave this machine unencrypted.",
                "Use https://; only loopback addresses may use http://.",
            )
