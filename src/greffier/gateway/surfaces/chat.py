"""``/v1/chat/completions`` and the legacy ``/v1/completions``."""

from greffier.core.chat import ChatRequest
from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.gateway.streaming import send_stream
from greffier.gateway.surfaces.remember import Remember
from greffier.gateway.wire.chat_answer import ChatWriter, LegacyWriter, encode_chat, encode_legacy
from greffier.gateway.wire.chat_request import decode_chat
from greffier.gateway.wire.legacy_request import decode_legacy
from greffier.pipeline.answers import ChatAnswer


async def chat_completions(exchange: Exchange, pipelines: Pipelines) -> None:
    """OpenAI chat completions."""
    body = await exchange.body()
    exchange.watch()
    decode: Remember[ChatRequest] = Remember(
        lambda: decode_chat(body, max_depth=exchange.bounds.max_json_depth, extra_parameters=pipelines.extra_parameters)
    )
    result = await pipelines.chat.run(exchange.arrival, decode)
    if isinstance(result, ChatAnswer):
        await exchange.answer(encode_chat(result.response, exchange.arrival), result.headers)
        return
    writer = ChatWriter(exchange.arrival, include_usage=decode.request.include_usage)
    await send_stream(exchange, result, writer)


async def completions(exchange: Exchange, pipelines: Pipelines) -> None:
    """OpenAI's legacy completions: one prompt, answered as a conversation of one turn."""
    body = await exchange.body()
    exchange.watch()
    decode: Remember[ChatRequest] = Remember(lambda: decode_legacy(body, max_depth=exchange.bounds.max_json_depth))
    result = await pipelines.chat.run(exchange.arrival, decode)
    if isinstance(result, ChatAnswer):
        await exchange.answer(encode_legacy(result.response, exchange.arrival), result.headers)
        return
    writer = LegacyWriter(exchange.arrival, include_usage=decode.request.include_usage)
    await send_stream(exchange, result, writer)
