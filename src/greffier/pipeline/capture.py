"""Keep content only where a use case says so, encrypted and apart from the record."""

import logging

import msgspec

from greffier.audit.ports import ContentStore, ContentUnavailable, PartLabel
from greffier.core.chat import ChatRequest
from greffier.core.context import Grant
from greffier.core.events import PartLine

log = logging.getLogger(__name__)

UNAVAILABLE = "unavailable"
"""Store id of a part that could not be kept."""

RESIDUAL = "system"
"""Name of the part that holds what is nobody's personal data: the turns the operator wrote."""

_ENCODER = msgspec.json.Encoder()
_OPERATORS = frozenset({"system", "developer"})


class Capture:
    """Stores the parts of a request whose grant asks for it, and returns the lines that commit to them.

    What a person said and was told is kept under that person's own key; what the operator wrote around it (system and
    developer turns) is the residual, under the tenant's key.
    """

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    async def prompt(self, grant: Grant, request_id: str, request: ChatRequest) -> tuple[PartLine, ...]:
        """Keep what the model is about to see."""
        if not wanted(grant):
            return ()
        turns = [message for message in request.messages if message.role not in _OPERATORS]
        frame = [message for message in request.messages if message.role in _OPERATORS]
        parts = {"prompt": _ENCODER.encode(turns)}
        if frame:
            parts[RESIDUAL] = _ENCODER.encode(frame)
        return await keep(self._store, grant, request_id, parts)

    async def answer(self, grant: Grant, request_id: str, text: str) -> tuple[PartLine, ...]:
        """Keep what the caller is about to see."""
        if not wanted(grant):
            return ()
        return await keep(self._store, grant, request_id, {"answer": text.encode()})


async def keep(
    store: ContentStore, grant: Grant, request_id: str, parts: dict[str, bytes], subject: str = ""
) -> tuple[PartLine, ...]:
    """Store parts under the key of ``subject``, or else of the grant's, and return what commits to them."""
    label = PartLabel(
        subject=subject or grant.subject,
        use_case=grant.use_case,
        purpose=grant.purpose,
        data_classes=grant.data_classes,
        residual=(RESIDUAL,),
    )
    try:
        kept = await store.put(grant.tenant, request_id, parts, label)
    except ContentUnavailable as error:  # skeleton only, and the record says so (fail-closed matrix, key service)
        log.error("content of %s is not kept: %s", request_id, error)  # noqa: TRY400 - the reason is the message
        return tuple(PartLine(name, UNAVAILABLE, "") for name in parts)
    return tuple(
        PartLine(name, store_id, commit, "" if name == RESIDUAL else label.subject)
        for name, (store_id, commit) in kept.items()
    )


def wanted(grant: Grant) -> bool:
    """Whether content is kept: the use case turned capture on, or the rule that allowed it asks for full logging."""
    return grant.capture or grant.obligations.logging == "full"
