"""``/v1/responses``."""

from greffier.core.chat import ChatRequest
from greffier.core.rulings import Deny, Ruling
from greffier.gateway.exchange import Exchange
from greffier.gateway.ports import Pipelines
from greffier.gateway.streaming import send_stream
from greffier.gateway.wire.responses_answer import ResponsesWriter, encode_responses
from greffier.gateway.wire.responses_request import WireResponses, decode_responses, to_chat
from greffier.pipeline.answers import ChatAnswer


class _Decode:
    """Decodes once and keeps the request, whose settings the answer repeats."""

    wire: WireResponses

    def __init__(self, body: bytes, max_depth: int) -> None:
        self._body = body
        self._max_depth = max_depth

    def __call__(self) -> Ruling[ChatRequest]:
        ruling = decode_responses(self._body, max_depth=self._max_depth)
        if isinstance(ruling, Deny):
            return ruling
        self.wire = ruling.value
        return to_chat(ruling.value)


async def responses(exchange: Exchange, pipelines: Pipelines) -> None:
    """OpenAI Responses, stateless."""
    body = await exchange.body()
    exchange.watch()
    decode = _Decode(body, exchange.bounds.max_json_depth)
    result = await pipelines.chat.run(exchange.arrival, decode)
    if isinstance(result, ChatAnswer):
        await exchange.answer(encode_responses(result.response, decode.wire, exchange.arrival), result.headers)
        return
    await send_stream(exchange, result, ResponsesWriter(exchange.arrival, decode.wire))
