"""Endpoints that take texts and call no chat model: embeddings, moderations, the guardrail check, feedback."""

import msgspec

from greffier.gateway.decoding import decode
from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.gateway.wire.embeddings import decode_embeddings, encode_embeddings
from greffier.gateway.wire.moderations import decode_moderations, encode_moderations
from greffier.guardrails.check import CheckRequest
from greffier.pipeline.asks import FeedbackRequest

_encode = msgspec.json.Encoder().encode
_check_decoder = msgspec.json.Decoder(CheckRequest)
_feedback_decoder = msgspec.json.Decoder(FeedbackRequest)


async def embeddings(exchange: Exchange, pipelines: Pipelines) -> None:
    """OpenAI embeddings."""
    body = await exchange.body()
    exchange.watch()
    depth = exchange.bounds.max_json_depth
    answer = await pipelines.embed.run(exchange.arrival, lambda: decode_embeddings(body, max_depth=depth))
    await exchange.answer(encode_embeddings(answer.response), answer.headers)


async def moderations(exchange: Exchange, pipelines: Pipelines) -> None:
    """OpenAI moderations, answered by the use case's own screen."""
    body = await exchange.body()
    exchange.watch()
    depth = exchange.bounds.max_json_depth
    verdicts = await pipelines.check.moderate(exchange.arrival, lambda: decode_moderations(body, max_depth=depth))
    await exchange.answer(encode_moderations(verdicts, exchange.arrival))


async def guardrails_check(exchange: Exchange, pipelines: Pipelines) -> None:
    """The guardrails alone."""
    body = await exchange.body()
    exchange.watch()
    depth = exchange.bounds.max_json_depth
    verdict = await pipelines.check.run(exchange.arrival, lambda: decode(_check_decoder, body, max_depth=depth))
    await exchange.answer(_encode(verdict))


async def feedback(exchange: Exchange, pipelines: Pipelines) -> None:
    """A user's verdict on an answer."""
    body = await exchange.body()
    exchange.watch()
    depth = exchange.bounds.max_json_depth
    receipt = await pipelines.feedback.run(exchange.arrival, lambda: decode(_feedback_decoder, body, max_depth=depth))
    await exchange.answer(_encode(receipt))
