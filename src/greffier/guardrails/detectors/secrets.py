"""Secrets: provider formats first, then what prose and configuration announce as a password, token or key.

Formats follow the providers' documentation and the rules of gitleaks (MIT), rewritten with our own boundaries: a token
followed by ``.``, ``,`` or ``)`` in a sentence is found, which a suffix of quotes and spaces misses
(betterleaks/betterleaks#356).
"""

import math
from collections import Counter
from collections.abc import Iterator

from greffier.core.rulings import Finding
from greffier.guardrails.matching import PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import before, names

FORMATS = read_patterns("secret_formats")
CONTEXTS = read_patterns("secret_contexts")

_DECOY_PARTS = (
    "xxxx", "****", "....", "example", "beispiel", "ejemplo", "esempio", "exemple", "voorbeeld", "placeholder",
    "changeme", "change_me", "change-me",
    "your-", "your_", "yourt", "yourp", "yourk", "dummy", "redacted", "<", "${", "{{", "%(", "os.environ", "getenv",
    "process.env", "secrets.", "vault.", "env.", "config.",
    "settings.", "0000000", "1234567890", "abcdef", "insert", "todo", "todo:", "null", "undefined", "none",
    "password", "passwort", "secret_key_here", "_here", "token_here", "sample", "aaaaaa", "______", "------",
)  # fmt: skip
_WEAK_VALUES = 3.0  # bits per character
_WEAK_PASSWORD = 2.25
_PASSWORD_RULES = frozenset({"password", "password-named", "login-pair", "connection-string", "flag"})
_PASSPHRASE_WORDS = 4  # "lamp-cloud-stone-tiger"
_CODE_MARKS = ("(", ")", "[", "]", "{", "}", "->", "::", "$")
_DIGEST_BEFORE = (
    "sha256", "sha512", "sha384", "sha1", "md5", "integrity", "commit", "etag", "checksum", "digest", "request-id",
    "trace", "uuid", "revision", "tx ", "hash", "fingerprint", "base64,", "ssh-rsa", "ssh-ed25519", "public key",
    "nonce-", "build",
)  # fmt: skip


class Secrets:
    """Keys, tokens, passwords, private keys, connection strings and session cookies."""

    name = "secrets"
    version = "1"

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
        for index in candidates:
            pattern = self._patterns.patterns[index]
            known_format = index < len(FORMATS)
            for match in self._patterns.matches(index, text):
                first, last = match.span(pattern.group)
                if first < 0:
                    continue
                start, end = text.point(first), text.point(last)
                end = _trimmed(text.text, start, end, pattern.id)
                value = text.text[start:end]
                score = (
                    _format_score(pattern.id, value)
                    if known_format
                    else _context_score(pattern.id, value, text.text, start)
                )
                if score > 0:
                    yield Finding(self.name, "SECRET", start, end, score, rule=pattern.id, data_class="secret")


def _trimmed(text: str, start: int, end: int, rule: str) -> int:
    """Leave sentence punctuation and closing quotes outside the span."""
    if rule in {"private-key", "putty-key"}:
        return end
    while end > start + 1 and text[end - 1] in ".,;:)]}'\"`»”“…":
        end -= 1
    return end


def _format_score(rule: str, value: str) -> float:
    folded = value.lower()
    if rule not in {"private-key", "putty-key", "slack-webhook"} and any(part in folded for part in _FORMAT_DECOYS):
        return 0.0
    if rule in {"openai-like-key", "stripe-key", "azure-client-secret", "square-token", "telegram-bot", "discord-bot"}:
        return 0.9 if entropy(value) > 3.2 and any(char.isdigit() for char in value) else 0.0  # noqa: PLR2004
    return 0.98


_FORMAT_DECOYS = (
    "xxxx",
    "example",
    "placeholder",
    "your_",
    "your-",
    "0000000000",
    "1234567890",
    "****",
    "....",
    "redacted",
)


def _context_score(rule: str, value: str, text: str, start: int) -> float:
    """Confidence that what a label announces is a secret and no placeholder, word, digest or piece of code."""
    folded = value.lower()
    if any(part in folded for part in _DECOY_PARTS) or len(set(value)) < 4:  # noqa: PLR2004 - "******"
        return 0.0
    if rule == "url-credentials":
        return 0.9
    if rule == "entropy":
        return 0.0 if names(before(text, start, 40), _DIGEST_BEFORE) else 0.6
    if _plain_word(value) or _classes(value) < 2:  # noqa: PLR2004 - letters only is a word
        return 0.0
    if rule in _PASSWORD_RULES:
        return 0.0 if _reads_a_secret(value) or entropy(value) <= _WEAK_PASSWORD else 0.85
    is_code = rule == "key" and any(mark in value for mark in _CODE_MARKS)
    return 0.0 if is_code or entropy(value) < _WEAK_VALUES else 0.85


def _reads_a_secret(value: str) -> bool:
    """Whether the value is code that fetches a secret ("vault.read(name)") rather than one."""
    return any(mark in value for mark in ("(", "[", "{")) and value[:1].isalpha() and "." in value


def _plain_word(value: str) -> bool:
    """Whether the value reads as a word, a path, a date or an identifier of code rather than a secret."""
    stripped = value.strip("!?.,;:-_")
    if stripped.isalpha():
        return stripped.islower() or stripped.istitle() or stripped.isupper()
    if not any(char.isdigit() for char in stripped):
        parts = (
            stripped.replace("-", " ").replace("_", " ").replace(".", " ").replace("/", " ").replace("'", " ").split()
        )
        words = all(part.isalpha() and (part.islower() or part.istitle() or part.isupper()) for part in parts)
        return words and len(parts) < _PASSPHRASE_WORDS
    return stripped.isdigit() and len(stripped) < 6  # noqa: PLR2004 - a length or a year


def _classes(value: str) -> int:
    return (
        any(char.islower() for char in value)
        + any(char.isupper() for char in value)
        + any(char.isdigit() for char in value)
        + any(not char.isalnum() for char in value)
    )


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())
