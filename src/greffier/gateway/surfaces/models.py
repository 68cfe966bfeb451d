"""``/v1/models``: what the caller may use, in the shape of the SDK that asks."""

from datetime import UTC, datetime

import msgspec

from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused
from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.pipeline.answers import ModelCard

_encode = msgspec.json.Encoder().encode


def speaks_anthropic(headers: dict[bytes, bytes]) -> bool:
    """Anthropic's SDKs name a version on every call; which one does not matter."""
    return b"anthropic-version" in headers


async def list_models(exchange: Exchange, pipelines: Pipelines) -> None:
    """The list, OpenAI's shape or Anthropic's."""
    exchange.watch()
    cards = await pipelines.models.run(exchange.arrival)
    if exchange.dialect == "anthropic":
        body: object = {
            "data": [_anthropic_card(card) for card in cards],
            "has_more": False,
            "first_id": cards[0].id if cards else None,
            "last_id": cards[-1].id if cards else None,
        }
    else:
        body = {"object": "list", "data": [_openai_card(card) for card in cards]}
    await exchange.answer(_encode(body))


async def get_model(exchange: Exchange, pipelines: Pipelines, model: str) -> None:
    """One model. One the caller may not use does not exist for it."""
    exchange.watch()
    for card in await pipelines.models.run(exchange.arrival):
        if card.id == model:
            shape = _anthropic_card if exchange.dialect == "anthropic" else _openai_card
            await exchange.answer(_encode(shape(card)))
            return
    raise Refused(Deny(Code.MODEL_NOT_FOUND, "gateway.models", "No such model is open to the caller", param="model"))


def _openai_card(card: ModelCard) -> dict[str, object]:
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}


def _anthropic_card(card: ModelCard) -> dict[str, object]:
    created = datetime.fromtimestamp(card.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": card.id, "display_name": card.title or card.id, "created_at": created}
