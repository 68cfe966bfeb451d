"""Where the targets of a tool call come from: addresses and accounts that only an untrusted text named.

An instruction hidden in a web page works only if the assistant then does something with it: sends a mail there, opens
that page, pays that account. No classifier is needed to see it: the address stands in the call, it stands in a tool's
answer or a document, and nobody who may give orders (the user, the application, the use case's prompt) ever named it.
"""

from collections.abc import Iterable, Iterator

import msgspec
import re2
from stdnum import iban

from greffier.core.chat import ChatRequest
from greffier.core.rulings import Finding
from greffier.guardrails.conversation import described, rewrite_request
from greffier.guardrails.links import ADDRESS, host_of
from greffier.guardrails.matching import Text
from greffier.guardrails.normalise import views
from greffier.guardrails.ports import Passage, Provenance
from greffier.guardrails.prompt import Placed

_ORDERS = frozenset({"user", "system"})
_DATA = frozenset({"document", "tool_output"})
_EMAIL = re2.compile(r"(?i)[a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,24}")
_IBAN = re2.compile(r"(?i)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}\b")
_IP = re2.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_WALLET = re2.compile(r"(?i)\b0x[0-9a-f]{40}\b|\bbc1[a-z0-9]{25,60}\b")
_HOST = re2.compile(r"(?i)[a-z0-9-]+(?:\.[a-z0-9-]+)+|localhost")
_SCORE = 0.9

Target = tuple[str, str, int, int]
"""Kind, normal form, and span of an address or account in a text."""


class Taint:
    """The conversation before a tool call; read only when there is a call.

    Args:
        request: As it was let through.
        placed: As the model saw it; its first message is the gateway's.
    """

    def __init__(self, request: ChatRequest, placed: Placed | None) -> None:
        self._request = request
        self._placed = placed
        self._trusted: _Named | None = None
        self._untrusted: _Named | None = None

    def examine(self, passage: Passage) -> Iterator[Finding]:
        """``untrusted_argument`` findings in the arguments of a call; the rule says what kind of target it is."""
        if passage.provenance != "tool_call":
            return
        found = list(targets(passage.text))
        if not found:
            return
        if self._trusted is None or self._untrusted is None:
            self._read()
        trusted, untrusted = self._trusted, self._untrusted
        if trusted is None or untrusted is None:
            return
        for kind, form, start, end in found:
            if untrusted.names(kind, form) and not trusted.names(kind, form):
                yield Finding("taint", "untrusted_argument", start, end, _SCORE, rule=kind)

    def _read(self) -> None:
        orders: list[str] = []
        data: list[str] = []

        def collect(text: str, provenance: Provenance) -> str:
            if provenance in _ORDERS:
                orders.append(text)
            elif provenance in _DATA:
                data.append(text)
                data.extend(view.text for view in views(text)[0])  # a model reads what was encoded for it
            return text

        # An application that enumerates recipients for a tool gave them; only what a tool is said to do is data.
        rewrite_request(msgspec.structs.replace(self._request, tools=()), collect)
        for tool in self._request.tools:
            for text in described(tool):
                collect(text, "tool_output")
        if self._placed is not None and self._placed.prompt:
            ours = self._placed.request.messages[0].content
            if isinstance(ours, str):
                orders.append(ours)
        self._trusted, self._untrusted = _Named(orders), _Named(data)


class _Named:
    """The targets that some texts name."""

    def __init__(self, texts: Iterable[str]) -> None:
        joined = Text("\n".join(texts))
        self._targets = frozenset((kind, form) for kind, form, _, _ in targets(joined.text))
        self._hosts = frozenset(match.group().decode().lower() for match in _HOST.finditer(joined.data))

    def names(self, kind: str, form: str) -> bool:
        """Whether the target is named; a host also without what surrounds an address, and by a parent of it."""
        if (kind, form) in self._targets:
            return True
        if kind != "host":
            return False
        parts = form.split(".")
        return any(".".join(parts[at:]) in self._hosts for at in range(max(1, len(parts) - 1)))


def targets(text: str) -> Iterator[Target]:
    """Addresses and accounts in a text; a host stands for the whole of its URL."""
    wrapped = Text(text)
    for match in ADDRESS.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        address = text[start:end]
        at = min((i for i in (address.find("/"), address.find("\\"), address.find(":")) if i >= 0), default=0)
        host = host_of(address[at:])
        if host:
            yield "host", host, start, end
    for kind, pattern in (("email", _EMAIL), ("ip", _IP), ("wallet", _WALLET)):
        for match in pattern.finditer(wrapped.data):
            start, end = wrapped.point(match.start()), wrapped.point(match.end())
            yield kind, text[start:end].lower(), start, end
    for match in _IBAN.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        if iban.is_valid(text[start:end]):
            yield "iban", iban.compact(text[start:end]), start, end
