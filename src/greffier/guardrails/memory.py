"""What was found in texts that came before: conversations repeat their system prompt, tools and history every turn.

Detectors hold no state, so the same text from the same place has the same findings as long as the screen stands. Only
findings are kept, under a keyed digest; the text itself is not. The tenant is part of every digest, so that not even
the time an answer takes tells one tenant what another one sent.
"""

import hashlib
import os

from greffier.guardrails.ports import Measured, Passage

_SHORTEST = 48  # characters; shorter texts are measured about as fast as they are looked up
_MOST_FINDINGS = 32  # per text, so that the memory of all texts stays within a few megabytes


class Memory:
    """The findings of the last ``most`` input texts of one screen; the one not asked for longest goes first."""

    __slots__ = ("_found", "_key", "_most")

    def __init__(self, most: int = 2048) -> None:
        self._most = most
        self._key = os.urandom(32)  # digests of short texts could be guessed otherwise
        self._found: dict[bytes, Measured] = {}

    def place(self, tenant: str, passage: Passage) -> bytes | None:
        """Where the findings of a passage are kept; None when it is too short to keep them."""
        if len(passage.text) < _SHORTEST:
            return None
        head = f"{tenant}\0{passage.provenance}\0{passage.lang}\0"
        data = (head + passage.text).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=16, key=self._key).digest()

    def recall(self, place: bytes) -> Measured | None:
        """What was found there before."""
        found = self._found.pop(place, None)
        if found is not None:
            self._found[place] = found  # the latest stands last
        return found

    def keep(self, place: bytes, measured: Measured) -> None:
        """Keep what was found, unless a detector failed: it may measure next time."""
        if measured.failed or len(measured.findings) > _MOST_FINDINGS:
            return
        if len(self._found) >= self._most:
            del self._found[next(iter(self._found))]
        self._found[place] = measured
