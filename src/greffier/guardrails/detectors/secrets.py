"""Secrets: formats of providers, what names in code and configuration announce, and what people tell each other.

Formats follow the providers' documentation and the rules of gitleaks (MIT), rewritten with our own boundaries: a token
followed by ``.``, ``,`` or ``)`` in a sentence is found, which a suffix of quotes and spaces misses
(betterleaks/betterleaks#356). Names are read by `secret_assigned`, sentences by `secret_told`.
"""

from collections.abc import Callable, Iterator

import re2

from greffier.core.rulings import Finding
from greffier.guardrails.detectors import secret_values as values
from greffier.guardrails.detectors.secret_assigned import Secret, assigned
from greffier.guardrails.detectors.secret_logins import columns, logins
from greffier.guardrails.detectors.secret_told import told
from greffier.guardrails.matching import PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import before, names

FORMATS = read_patterns("secret_formats")
CONTEXTS = read_patterns("secret_contexts")

_READERS: dict[str, Callable[[Text], Iterator[Secret]]] = {
    "assigned": assigned,
    "told": told,
    "told-phrase": told,
    "logins": logins,
    "table": columns,
}
"""What reads the text where the rule of this name says that it is worth it."""

_WHOLE = frozenset({"private-key", "putty-key", "pem-base64"})
_WEBHOOKS = frozenset(
    {
        "slack-webhook",
        "teams-webhook",
        "discord-webhook",
        "google-chat-webhook",
        "zapier-webhook",
        "make-webhook",
        "mattermost-webhook",
    }
)
_GENERAL = values.vocabulary("general_formats")
"""Formats that ordinary identifiers may have by chance: only what was drawn by a machine counts."""
_FORMAT_DECOYS = (
    *("xxxx", "example", "placeholder", "your_", "your-", "0000000000", "1234567890", "****", "....", "redacted"),
    *("abcdefgh", "deadbeef"),
)
_PASSWORDS = frozenset(
    {
        "connection-string",
        "login-pair",
        "oracle",
        "pgpass",
        "user-colon",
        "positional",
        "network-device",
        "pair-of-arguments",
    }
)
_DIGEST_BEFORE = (
    "sha256", "sha512", "sha384", "sha1", "md5", "integrity", "commit", "etag", "checksum", "digest", "request-id",
    "trace", "uuid", "revision", "tx ", "hash", "fingerprint", "base64,", "ssh-rsa", "ssh-ed25519", "public",
    "nonce-", "build", "peer", "signature", "bh=", "thumbprint", "known_hosts",
)  # fmt: skip
_BODY = re2.compile(r"[A-Za-z0-9+/=]{32}")


class Secrets:
    """Keys, tokens, passwords, private keys, connection strings and session cookies."""

    name = "secrets"
    version = "2"

    def __init__(self) -> None:
        self._patterns = PatternSet(FORMATS + CONTEXTS)

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return every secret; a value that is plainly a placeholder, digest or code is left out."""
        text = Text(passage.text)
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return tuple(self._confirmed(text, candidates))

    def _confirmed(self, text: Text, candidates: list[int]) -> Iterator[Finding]:
        read = set()
        for index in candidates:
            pattern = self._patterns.patterns[index]
            reader = _READERS.get(pattern.id)
            if reader is not None:
                if reader not in read:
                    read.add(reader)
                    for found in reader(text):
                        yield self._finding(found.start, found.end, found.score, found.rule)
                continue
            for match in self._patterns.matches(index, text):
                first, last = match.span(pattern.group)
                if first < 0:
                    continue
                start, end = text.point(first), text.point(last)
                end = _trimmed(text.text, start, end, pattern.id)
                value = text.text[start:end]
                score = (
                    _format_score(pattern.id, value)
                    if index < len(FORMATS)
                    else _context_score(pattern.id, value, text.text, start)
                )
                if score > 0:
                    yield self._finding(start, end, score, pattern.id)

    def _finding(self, start: int, end: int, score: float, rule: str) -> Finding:
        return Finding(self.name, "SECRET", start, end, score, rule=rule, data_class="secret")


def _trimmed(text: str, start: int, end: int, rule: str) -> int:
    """Leave sentence punctuation and closing quotes outside the span."""
    if rule in _WHOLE:
        return end
    while end > start + 1 and text[end - 1] in ".,;:)]}'\"`»”“…":
        end -= 1
    return end


def _format_score(rule: str, value: str) -> float:
    folded = value.lower()
    if rule in _WHOLE:
        return 0.98 if _BODY.search(value) is not None else 0.0  # "(paste your key here)"
    if rule not in _WEBHOOKS and any(part in folded for part in _FORMAT_DECOYS):
        return 0.0
    if rule in _GENERAL:
        return 0.9 if values.entropy(value) > 3.2 and any(char.isdigit() for char in value) else 0.0  # noqa: PLR2004
    return 0.98 if len(set(value)) > 6 else 0.0  # noqa: PLR2004 - "hf_aaaaaaaa"


def _context_score(rule: str, value: str, text: str, start: int) -> float:
    """Confidence that what a rule announces is a secret and no placeholder, word, digest or piece of code."""
    if rule == "entropy":
        return 0.0 if values.is_placeholder(value) or names(before(text, start, 48), _DIGEST_BEFORE) else 0.6
    if not values.possible(value):
        return 0.0
    if rule in _JUDGES:
        return 0.85 if _JUDGES[rule](value, text, start) else 0.0
    if rule in _PASSWORDS:
        return 0.85 if values.password_like(value, certain=True) else 0.0
    return 0.85 if values.is_random(value, least=_LEAST_RANDOM) else 0.0


def _public_address(text: str, start: int) -> bool:
    """Whether the address is one that pages carry openly: a key that can only send events."""
    return "sentry" in text[start : start + 120] or "ingest" in text[start : start + 120]


def _in_command(value: str, _text: str, _start: int) -> bool:
    return values.password_like(value, certain=True) and not values.is_ordinary(value)


def _in_bare_address(value: str, _text: str, _start: int) -> bool:
    return values.strength(value) >= values.LIKELY and value != value.lower() and value != value.upper()


def _in_query(value: str, _text: str, _start: int) -> bool:
    chosen = len(value) >= _LEAST_CHOSEN and values.strength(value) == values.SURE
    return chosen or values.is_random(value, least=_LEAST_IN_QUERY)


_LEAST_RANDOM, _LEAST_CHOSEN, _LEAST_IN_CALL, _LEAST_IN_QUERY = 8, 10, 12, 20
_JUDGES: dict[str, Callable[[str, str, int], bool]] = {
    "url-credentials": lambda value, _text, _start: value.lower() not in {"pass", "port", "pass_word"},
    "bare-url-credentials": _in_bare_address,
    "flag": _in_command,
    "command": _in_command,
    "command-capital": _in_command,
    "arguments-of-connect": lambda value, _text, _start: (
        values.strength(value) >= values.LIKELY and not values.is_ordinary(value)
    ),
    "user-and-password": lambda value, _text, _start: (
        values.strength(value) >= values.LIKELY and not values.is_ordinary(value)
    ),
    "wallet-key": lambda _value, text, start: not names(before(text, start, 24), ("tx", "hash", "block", "root")),
    "alarm-master": lambda value, _text, _start: value.isdigit(),
    "query": _in_query,
    "url-token": lambda value, text, start: values.strength(value) == values.SURE and not _public_address(text, start),
    "keyed-call": lambda value, _text, _start: values.is_random(value, least=_LEAST_IN_CALL),
}
"""What else a rule asks of the value that it announces; the text and where the value begins in it."""
