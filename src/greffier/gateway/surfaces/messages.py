"""``/v1/messages`` and ``/v1/messages/count_tokens`` (Anthropic)."""

import msgspec

from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.gateway.streaming import send_stream
from greffier.gateway.wire.messages_answer import MessagesWriter, encode_message
from greffier.gateway.wire.messages_request import decode_messages
from greffier.pipeline.answers import ChatAnswer

_encode = msgspec.json.Encoder().encode


async def messages(exchange: Exchange, pipelines: Pipelines) -> None:
    """Anthropic messages."""
    body = await exchange.body()
    exchange.watch()
    depth, extras = exchange.bounds.max_json_depth, pipelines.extra_parameters
    result = await pipelines.chat.run(
        exchange.arrival, lambda: decode_messages(body, max_depth=depth, extra_parameters=extras)
    )
    if isinstance(result, ChatAnswer):
        await exchange.answer(encode_message(result.response, exchange.arrival), result.headers)
        return
    await send_stream(exchange, result, MessagesWriter(exchange.arrival))


async def count_tokens(exchange: Exchange, pipelines: Pipelines) -> None:
    """How many tokens a prompt has, as far as can be told without its model."""
    body = await exchange.body()
    exchange.watch()
    depth = exchange.bounds.max_json_depth
    tokens = await pipelines.chat.count(exchange.arrival, lambda: decode_messages(body, max_depth=depth, counting=True))
    await exchange.answer(_encode({"input_tokens": tokens}))
