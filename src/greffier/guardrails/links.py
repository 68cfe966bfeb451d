"""Links in answers that lead anywhere but to the hosts a screen allows: what carries data out needs an address.

Unlike a detector this recognises nothing: an address is on the list or it is not. Addresses are read as a browser would
read them, so that user names, ports, backslashes and missing slashes do not disguise a host.
"""

from collections.abc import Iterable, Iterator

import msgspec
import re2

from greffier.core.rulings import Finding
from greffier.guardrails.matching import Text
from greffier.guardrails.normalise import views

# A scheme with any slashes or none, or two slashes where an address is expected (Markdown, HTML attribute, CSS).
ADDRESS = re2.compile(
    r"""(?i)\b(?:https?|wss?|ftp):[/\\]*[^\s<>"'`)\]}|]*|(?:\(|=\s*["']?|url\(["']?|\]:\s*)[/\\]{2}[^\s<>"'`)\]}|]+"""
)
_HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_ENDS = "/\\?#"


class LinkHosts:
    """The hosts that answers may link to; ``.example.org`` allows every host below it too."""

    def __init__(self, hosts: Iterable[str]) -> None:
        allowed = [host.lower().rstrip(".") for host in hosts]
        self._hosts = frozenset(host.lstrip(".") for host in allowed)
        self._below = tuple(host for host in allowed if host.startswith("."))

    def examine(self, text: str) -> Iterator[Finding]:
        """``external_link`` findings in an answer, as written and in its decoded views."""
        yield from self._found(text)
        for view in views(text)[0]:
            for finding in self._found(view.text):
                for start, end in view.spans(finding.start, finding.end):
                    yield msgspec.structs.replace(finding, start=start, end=end, view=view.name)

    def _found(self, text: str) -> Iterator[Finding]:
        if "//" not in text and ":" not in text and "\\\\" not in text:
            return
        wrapped = Text(text)
        for match in ADDRESS.finditer(wrapped.data):
            start, end = wrapped.point(match.start()), wrapped.point(match.end())
            address = text[start:end]
            at = min((i for i in (address.find("/"), address.find("\\"), address.find(":")) if i >= 0), default=0)
            if not self._allows(host_of(address[at:])):
                skipped = 0 if address[0].isalpha() else at  # the bracket before an address is not part of it
                yield Finding("links", "external_link", start + skipped, end, 1.0, rule="not-allowed")

    def _allows(self, host: str) -> bool:
        return host in self._hosts or (bool(self._below) and host.endswith(self._below))


def host_of(rest: str) -> str:
    """The host of what follows a scheme (WHATWG URL); empty where no ordinary host can be read."""
    authority = rest.lstrip(":/\\")
    cut = min((at for at in (authority.find(mark) for mark in _ENDS) if at >= 0), default=len(authority))
    host = authority[:cut].rpartition("@")[2].lower()
    name, colon, port = host.partition(":")
    if colon and port and not port.isdigit():
        return ""
    name = name.rstrip(".,;!")
    return name if name and _HOST_LETTERS.issuperset(name) else ""
