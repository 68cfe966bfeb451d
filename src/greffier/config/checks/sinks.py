"""Checks of the ``sinks:`` in ``greffier.yaml``."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from greffier.audit.export.codes import CODES
from greffier.audit.sink_settings import SinkKind, SinkSettings
from greffier.config.checks.references import environment
from greffier.config.problems import Path, Problem, quoted
from greffier.config.settings import WorkspaceSettings
from greffier.config.workspace import Located, Sources

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SCHEMES: dict[SinkKind, tuple[str, str]] = {
    "syslog": ("tls", "tcp"),
    "splunk_hec": ("https", "http"),
    "elastic": ("https", "http"),
    "otlp": ("https", "http"),
    "kafka": ("tls", "tcp"),
    "nats": ("tls", "tcp"),
}
_NEEDED: dict[SinkKind, tuple[str, ...]] = {
    "file": ("path",),
    "syslog": ("url",),
    "splunk_hec": ("url", "secret"),
    "elastic": ("url", "topic"),
    "otlp": ("url",),
    "kafka": ("url", "topic"),
    "nats": ("url", "topic"),
}
_JSON_ONLY: frozenset[SinkKind] = frozenset({"elastic"})


def check_sinks(sources: Sources) -> Iterator[Problem]:
    """Check that each sink has what its kind needs, and that nothing leaves this machine unencrypted."""
    place = sources.settings
    if place is None:
        return
    for name, sink in place.value.sinks.items():
        path: Path = ("sinks", name)
        for key in _NEEDED[sink.kind]:
            if getattr(sink, key) is None:
                yield place.problem(
                    path,
                    "missing_key",
                    f"A sink of the kind '{sink.kind}' needs '{key}'.",
                    f"Add '{key}:' to the sink '{name}'.",
                    at_key=True,
                )
        yield from environment(place, (*path, "url"), sink.url)
        yield from _address(place, path, sink)
        yield from _filter(place, path, sink)
        if sink.kind in _JSON_ONLY and sink.format in {"cef", "rfc5424"}:
            yield place.problem(
                (*path, "format"),
                "wrong_value",
                f"A sink of the kind '{sink.kind}' takes JSON, which '{sink.format}' is not.",
                "Use 'ecs' or 'ocsf'.",
            )


def _address(place: Located[WorkspaceSettings], path: Path, sink: SinkSettings) -> Iterator[Problem]:
    if sink.url is None or sink.url.startswith("env:") or sink.kind == "file":
        return
    secure, plain = _SCHEMES[sink.kind]
    try:
        parts = urlsplit(sink.url.partition(",")[0])
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    if host is None or scheme not in {secure, plain}:
        yield place.problem(
            (*path, "url"),
            "wrong_value",
            f"Expected an address like {secure}://HOST:PORT, got {quoted(sink.url)}.",
            f"Write '{secure}://' and the host.",
        )
    elif scheme == plain and host not in _LOOPBACK:
        yield place.problem(
            (*path, "url"),
            "insecure_url",
            f"Expected {secure}://, got {quoted(sink.url)}: evidence would leave this machine unencrypted.",
            f"Use {secure}://; only loopback addresses may use {plain}://.",
        )


def _filter(place: Located[WorkspaceSettings], path: Path, sink: SinkSettings) -> Iterator[Problem]:
    for index, prefix in enumerate(sink.events):
        if not any(code.startswith(prefix) for code in CODES):
            yield place.problem(
                (*path, "events", index),
                "unknown_reference",
                f"No event code begins with {quoted(prefix)}.",
                "docs/reference/siem.md lists them all.",
            )
