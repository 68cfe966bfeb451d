"""Keep content only where a use case says so, encrypted and apart from the record."""

import logging

import msgspec

from greffier.audit.ports import ContentStore, ContentUnavailable
from greffier.core.chat import ChatRequest
from greffier.core.context import Grant
from greffier.core.events import PartLine

log = logging.getLogger(__name__)

UNAVAILABLE = "unavailable"
"""Store id of a part that could not be kept."""

_ENCODER = msgspec.json.Encoder()


class Capture:
    """Stores the parts of a request whose grant asks for it, and returns the lines that commit to them."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    async def prompt(self, grant: Grant, request_id: str, request: ChatRequest) -> tuple[PartLine, ...]:
        """Keep what the model is about to see."""
        if not wanted(grant):
            return ()
        return await self._keep(grant.tenant, request_id, "prompt", _ENCODER.encode(request.messages))

    async def answer(self, grant: Grant, request_id: str, text: str) -> tuple[PartLine, ...]:
        """Keep what the caller is about to see."""
        if not wanted(grant):
            return ()
        return await self._keep(grant.tenant, request_id, "answer", text.encode())

    async def _keep(self, tenant: str, request_id: str, part: str, data: bytes) -> tuple[PartLine, ...]:
        try:
            kept = await self._store.put(tenant, request_id, {part: data})
        except ContentUnavailable as error:  # skeleton only, and the record says so (fail-closed matrix, key service)
            log.error("content of %s is not kept: %s", request_id, error)  # noqa: TRY400 - the reason is the message
            return (PartLine(part, UNAVAILABLE, ""),)
        return tuple(PartLine(name, store_id, commit) for name, (store_id, commit) in kept.items())


def wanted(grant: Grant) -> bool:
    """Whether content is kept: the use case turned capture on, or the rule that allowed it asks for full logging."""
    return grant.capture or grant.obligations.logging == "full"
