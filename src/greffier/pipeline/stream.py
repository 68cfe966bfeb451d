"""Release a stream: each fragment passes the output screen first, and the last one waits for the record."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from greffier.boundary.points import Point
from greffier.boundary.trail import Answered, enforce_fragment, enforce_now, reason_of
from greffier.core.chat import ChatChunk, ChatRequest, Usage
from greffier.core.context import Grant
from greffier.core.errors import Code
from greffier.core.rulings import Refused
from greffier.guardrails.stream import StreamScreen
from greffier.llm.cost import cost_of
from greffier.llm.ports import ProviderError
from greffier.llm.tokens import estimate_ascii, estimate_prompt, estimate_text, is_doubtful, whole_usage
from greffier.pipeline.answers import ChatStream
from greffier.pipeline.call import Caller, Opened, denial
from greffier.pipeline.capture import Capture, wanted
from greffier.pipeline.facts import answers_asked
from greffier.pipeline.visit import Visit


class _Tally:
    """What a stream has delivered so far: enough to settle and record it wherever it ends."""

    def __init__(self, opened: Opened, request: ChatRequest, *, keep_text: bool) -> None:
        self._opened = opened
        self._request = request
        self._kept: list[str] | None = [] if keep_text else None
        self._began = time.perf_counter_ns()
        self._generated_tokens = 0
        self._generated_ascii = 0
        self.released_chars = 0
        self.usage: Usage | None = None
        self.finish_reason = ""
        self.model = ""
        self.unfinished: set[int] = set()

    def received(self, chunk: ChatChunk) -> None:
        """Count what the model sent."""
        self._count(chunk.text)
        for call in chunk.tool_calls:
            if call.function and call.function.arguments:
                self._count(call.function.arguments)
        self.usage = chunk.usage or self.usage
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.model = chunk.model or self.model

    def _count(self, text: str) -> None:
        if text.isascii():
            self._generated_ascii += len(text)
        else:
            self._generated_tokens += estimate_text(text)

    def released(self, chunk: ChatChunk) -> None:
        """Count what the caller got."""
        self.released_chars += len(chunk.text)
        if chunk.finish_reason is None and chunk.usage is None:
            self.unfinished.add(chunk.index)
        else:
            self.unfinished.discard(chunk.index)
        if self._kept is not None:
            self._kept.append(chunk.text)

    def text(self) -> str:
        """What the caller got, if it is kept."""
        return "".join(self._kept or ())

    def upstream_us(self) -> int:
        """Microseconds since the first fragment."""
        return (time.perf_counter_ns() - self._began) // 1000

    def _estimate(self) -> Usage:
        """Tokens of a stream whose server gave no numbers, or that ended early."""
        generated = self._generated_tokens + estimate_ascii(self._generated_ascii)
        return Usage(input_tokens=estimate_prompt(self._request), output_tokens=generated, estimated=True)

    def answered(self) -> Answered:
        """The stream as the record tells it."""
        usage = self.usage
        if usage is None or is_doubtful(usage, answers_asked(self._request)):
            usage = whole_usage(usage, self._estimate())
        return Answered(
            deployment=self._opened.deployment.name,
            model=self.model,
            finish_reason=self.finish_reason,
            usage=usage,
            cost_micro=cost_of(usage, self._opened.deployment.price),
            priced=self._opened.deployment.price is not None,
            chars=self.released_chars,
            first_token_us=self._opened.opened_us,
        )


class StreamRelease:
    """An opened stream on its way to the caller."""

    def __init__(
        self, visit: Visit, grant: Grant, request: ChatRequest, opened: Opened, *, screen: StreamScreen
    ) -> None:
        self._visit = visit
        self._grant = grant
        self._opened = opened
        self._screen = screen
        self._tally = _Tally(opened, request, keep_text=wanted(grant))

    def to(self, caller: Caller, capture: Capture) -> ChatStream:
        """Hand out the stream, fragment by fragment as each passes the output screen.

        Args:
            caller: Told when the stream breaks off.
            capture: Keeps the answer where the use case asks for it.
        """
        return ChatStream(self._chunks(caller, capture), self._visit.headers(), self._abandoned)

    async def _chunks(self, caller: Caller, capture: Capture) -> AsyncGenerator[ChatChunk, None]:
        """Yield screened fragments; the last ones leave only once the outcome is durable."""
        visit, opened, tally, screen = self._visit, self._opened, self._tally, self._screen
        trail = visit.trail
        try:
            async for chunk in _all(opened):
                tally.received(chunk)
                await self._ask_ahead(chunk)
                for passed in enforce_fragment(trail, screen.feed, chunk):
                    tally.released(passed)
                    yield self._ours(passed)
            await self._ask_ahead(None)
            last = enforce_now(trail, Point.SCREEN_OUTPUT, screen.finish)
            for passed in last:
                tally.released(passed)
            trail.upstream_us += tally.upstream_us()
            parts = await capture.answer(self._grant, visit.request_id, tally.text())
            answer = msgspec.structs.replace(tally.answered(), parts=parts)
            await visit.answered(answer)
            for passed in last:
                if passed.usage is None:
                    yield self._ours(passed)
            yield self._ours(ChatChunk(usage=answer.usage))  # exactly one, whatever the server sent
        except ProviderError as error:
            caller.broke_off(opened)
            trail.attempted(opened.deployment.name, "broke off", tally.upstream_us(), str(error.code))
            refused = Refused(denial(error))
            raise await self._refused(refused) from error
        except Refused as refused:
            for last_one in await self._stopped(refused):
                yield self._ours(last_one)
        except (asyncio.CancelledError, GeneratorExit) as error:
            await self._abandoned(error)
            raise
        finally:
            await _close(opened.rest)

    async def _ask_ahead(self, chunk: ChatChunk | None) -> None:
        if self._screen.asks_outside:
            await self._screen.ask_ahead(chunk)

    async def _stopped(self, refused: Refused) -> list[ChatChunk]:
        """Record a refusal; return the fragments with which a blocked answer finishes, where the screen wants that.

        Raises:
            Refused: The stream ends in an error.
        """
        self._visit.trail.upstream_us += self._tally.upstream_us()
        told = await self._refused(refused)
        unfinished = sorted(self._tally.unfinished)
        if not unfinished or not self._screen.finishes_blocked or refused.ruling.code is not Code.OUTPUT_BLOCKED:
            raise told from refused
        ends = [ChatChunk(index=index, finish_reason="content_filter") for index in unfinished]
        return [*ends, ChatChunk(usage=self._tally.answered().usage)]

    async def _refused(self, refused: Refused) -> Refused:
        self._visit.used = self._tally.answered()
        return await self._visit.refused(refused)

    async def _abandoned(self, error: BaseException | None = None) -> None:
        visit = self._visit
        visit.used = self._tally.answered()
        visit.trail.upstream_us += self._tally.upstream_us()
        await visit.abandoned(reason_of(error))

    def _ours(self, chunk: ChatChunk) -> ChatChunk:
        """Under our identifier and the model name the caller asked for; which server answered is in the headers."""
        return msgspec.structs.replace(chunk, id=self._visit.request_id, model=self._grant.model)


async def _all(opened: Opened) -> AsyncIterator[ChatChunk]:
    yield opened.first
    async for chunk in opened.rest:
        yield chunk


async def _close(chunks: AsyncIterator[ChatChunk]) -> None:
    """Close the provider's stream, which closes its connection."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()
