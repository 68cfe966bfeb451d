"""Signature packs: known bad patterns that somebody else keeps up to date, as data that a person can review.

A pack is a JSON document with a name and a version that only grows. Its maker signs it; the workspace names it and the
maker's public key; the contents then travel inside the release like everything else that decides.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
import re2
from msgspec import Meta

from greffier.core.errors import Code, GreffierError
from greffier.core.settings import Identifier, Settings
from greffier.guardrails.matching import Pattern
from greffier.guardrails.ports import Provenance

FORMAT: Literal["greffier.signature-pack/1"] = "greffier.signature-pack/1"
_MAX_PATTERN_MEMORY = 1_048_576
_DATE = r"^\d{4}-\d{2}-\d{2}$"


class Signature(Settings, frozen=True, kw_only=True):
    """One pattern (RE2 syntax) and the finding that a match is. ``provenance`` narrows it to texts from there.

    ``note`` says what it recognises; ``ref`` where that is described.
    """

    id: Identifier
    expression: Annotated[str, Meta(min_length=1, max_length=4096)]
    type: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")] = "known_bad"
    ignore_case: bool = False
    score: Annotated[float, Meta(gt=0, le=1)] = 0.9
    provenance: tuple[Provenance, ...] = ()
    note: Annotated[str, Meta(max_length=1000)] = ""
    ref: Annotated[str, Meta(max_length=1000)] = ""


class SignaturePack(Settings, frozen=True, kw_only=True):
    """A pack. ``issued`` and ``expires`` are days (UTC); an expired pack still works, and is warned about."""

    format: Literal["greffier.signature-pack/1"]
    name: Identifier
    version: Annotated[int, Meta(ge=1)]
    issued: Annotated[str, Meta(pattern=_DATE)]
    expires: Annotated[str, Meta(pattern=_DATE)] | None = None
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=20_000)]


def parse_pack(data: bytes) -> SignaturePack:
    """Read a pack and try every pattern.

    Raises:
        GreffierError: It is no pack, or has a pattern that cannot be used or that matches everywhere.
    """
    try:
        pack = msgspec.json.decode(data, type=SignaturePack)
    except msgspec.DecodeError as error:
        raise _unusable(f"this is no signature pack: {error}") from error
    seen: set[str] = set()
    if pack.expires is not None and not _end_of(pack.expires):
        raise _unusable(f"the pack '{pack.name}' expires on no day of the calendar: {pack.expires}")
    for signature in pack.signatures:
        if signature.id in seen:
            raise _unusable(f"the pack '{pack.name}' has two signatures '{signature.id}'")
        seen.add(signature.id)
        why = _why_not(signature)
        if why:
            raise _unusable(f"the signature '{pack.name}/{signature.id}' cannot be used: {why}")
    return pack


def pack_ends(packs: Mapping[str, SignaturePack]) -> dict[str, float]:
    """From when (Unix time, seconds) newer versions are due: the day after ``expires``, of packs that name one."""
    return {name: _end_of(pack.expires) for name, pack in packs.items() if pack.expires is not None}


def _end_of(day: str) -> float:
    try:
        return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        return 0.0  # no day of the calendar: due at once; `parse_pack` refuses to sign such a pack


def pack_warnings(packs: Mapping[str, SignaturePack], now_ms: int) -> list[str]:
    """What to tell about packs that are out of date at a moment (milliseconds since the Unix epoch).

    They still work: an old list of bad patterns is better than none.
    """
    return [
        f"the signature pack '{name}' (version {packs[name].version}) expired on {packs[name].expires}; "
        "install a newer one"
        for name, end in pack_ends(packs).items()
        if end * 1000 <= now_ms
    ]


def patterns_of(pack: SignaturePack) -> tuple[Pattern, ...]:
    """The signatures as patterns; their rule names the pack and its version, so that the evidence does."""
    return tuple(
        Pattern(
            f"{pack.name}@{pack.version}/{signature.id}",
            signature.expression,
            ignore_case=signature.ignore_case,
            score=signature.score,
            type=signature.type,
        )
        for signature in pack.signatures
    )


def _why_not(signature: Signature) -> str:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_MEMORY
    try:
        compiled = re2.compile(signature.expression, options)
    except re2.error as error:
        return error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
    return "it matches the empty text" if compiled.search("") is not None else ""


def _unusable(reason: str) -> GreffierError:
    return GreffierError(
        Code.GUARDRAIL_UNAVAILABLE, reason, "Ask the pack's maker for a corrected version; keep the one in force."
    )
