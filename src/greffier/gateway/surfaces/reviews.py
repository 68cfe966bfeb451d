"""``GET /v1/reviews/{id}``: what became of a request that a person has to decide about."""

import msgspec

from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines

_encode = msgspec.json.Encoder().encode


async def review_status(exchange: Exchange, pipelines: Pipelines, review_id: str) -> None:
    """The state of a review, for the caller whose request opened it."""
    exchange.watch()
    await exchange.answer(_encode(await pipelines.reviews.run(exchange.arrival, review_id)))
