"""Screening an answer while it is being written: nothing leaves before a window with overlap passed.

Text waits until ``window_chars`` have come; then everything but the last ``overlap_chars`` is released, except that no
finding, and no placeholder to restore, is ever cut: the boundary moves back to its start. A finding that touches the
end of what is known may still grow, so all of it waits. Released text is kept as context for what follows.

In ``window`` mode the model's first fragment announces the role at once, without its text, so that callers see the
stream live; a refusal after that is an error within the stream. In ``full`` mode nothing leaves before everything has
passed, so a refusal is always an answer of its own.

The delay is therefore at most ``window_chars + overlap_chars`` characters, or ``max_delay_ms`` from the moment the
oldest waiting character came until the next fragment comes (time alone never releases: the pipeline calls `feed`).
Tool-call arguments wait until they are complete: half a JSON document is of no use to a caller, and a call that a rule
refuses must not have begun. Log-probabilities are dropped because they spell out text that is still held back.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from greffier.core.chat import ChatChunk, FinishReason, FunctionDelta, ToolCallDelta, Usage
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Finding, Ruling
from greffier.guardrails.conversation import is_word, plain_json, rewrite_name
from greffier.guardrails.detectors.form import Size
from greffier.guardrails.outside import Outside, measure_outside
from greffier.guardrails.ports import OutsideDetector, Passage
from greffier.guardrails.redaction import Edit, Pseudonyms, apply, apply_json, merge
from greffier.guardrails.settings import StreamSettings
from greffier.guardrails.shape import Shape
from greffier.guardrails.sieve import Sieve
from greffier.guardrails.structure import text_violation

_CONTEXT = 512


class _Channel:
    """One stream of text: the answer or the refusal of one choice."""

    __slots__ = ("context", "oldest", "pending", "whole")

    def __init__(self) -> None:
        self.context = ""  # released text, as the model wrote it
        self.pending = ""  # not yet released
        self.oldest = 0.0  # when the oldest pending character came
        self.whole: list[str] = []  # kept only when a schema must be checked at the end


class _Call:
    """One tool call being written."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id: str | None = None
        self.name: str | None = None
        self.arguments: list[str] = []


class _Choice:
    """The state of one choice."""

    __slots__ = ("calls", "finish", "refusal", "size", "text")

    def __init__(self) -> None:
        self.size: Size | None = None  # counted only where a screen limits the length of answers
        self.text = _Channel()
        self.refusal = _Channel()
        self.calls: dict[int, _Call] = {}
        self.finish: FinishReason | None = None


class StreamScreen:
    """Screens one streamed answer. Call `feed` for every fragment, then `finish` once."""

    def __init__(
        self,
        sieve: Sieve,
        settings: StreamSettings,
        pseudonyms: Pseudonyms,
        *,
        name: str,
        schema: dict[str, Any] | None,
        now: Callable[[], float],
        outside: Sequence[OutsideDetector] = (),
        shape: Shape | None = None,
    ) -> None:
        self._sieve = sieve
        self._shape = shape if shape is not None and shape.answer_length is not None else None
        self._settings = settings
        self._pseudonyms = pseudonyms
        self._name = name
        self._schema = schema
        self._now = now
        self._outside = tuple(outside)
        self._looked_at: float | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._id = ""
        self._model = ""
        self._stopped: Deny | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found so far, with the action taken."""
        return self._sieve.findings

    @property
    def finishes_blocked(self) -> bool:
        """Whether a blocked answer ends with the finish reason ``content_filter`` instead of an error."""
        return self._settings.blocked == "finish"

    @property
    def asks_outside(self) -> bool:
        """Whether `ask_ahead` must be awaited before every `feed` and before `finish`."""
        return bool(self._outside)

    async def ask_ahead(self, chunk: ChatChunk | None) -> None:
        """Ask detectors in other processes about what `feed` is going to examine; with None, what `finish` is."""
        self._looked_at = self._now()  # `feed` must come to the same decision about what is due
        passages = tuple(self._last_passages() if chunk is None else self._due_passages(chunk))
        self._sieve.outside = Outside(await measure_outside(self._name, self._outside, passages))

    def _due_passages(self, chunk: ChatChunk) -> Iterator[Passage]:
        if self._settings.mode != "window" or self._schema is not None:
            return
        choice = self._choices.get(chunk.index) or _Choice()
        for channel, text in ((choice.text, chunk.text), (choice.refusal, chunk.refusal)):
            oldest = channel.oldest if channel.pending else self._time()
            if self._is_due(len(channel.pending) + len(text), oldest):
                yield Passage(channel.context + channel.pending + text, "output")

    def _last_passages(self) -> Iterator[Passage]:
        for choice in self._choices.values():
            for channel in (choice.text, choice.refusal):
                if channel.pending:
                    yield Passage(channel.context + channel.pending, "output")
            for call in choice.calls.values():
                if call.name and not is_word(call.name):
                    yield Passage(call.name, "output")
                if call.arguments:
                    yield Passage(plain_json("".join(call.arguments)), "tool_call")

    def _time(self) -> float:
        return self._now() if self._looked_at is None else self._looked_at

    def feed(self, chunk: ChatChunk) -> Ruling[tuple[ChatChunk, ...]]:
        """Take a fragment in; return the fragments that may leave now."""
        if self._stopped is not None:
            return self._stopped
        self._id = chunk.id or self._id
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._usage = chunk.usage
        choice = self._choices.get(chunk.index)
        first = choice is None
        if choice is None:
            choice = self._choices[chunk.index] = _Choice()
        self._take(choice, chunk)
        released: list[ChatChunk] = []
        windowed = self._settings.mode == "window" and self._schema is None
        if windowed and first and chunk.usage is None:
            released.append(ChatChunk(index=chunk.index, id=self._id, model=self._model))  # announces the role only
        if windowed:
            text, refusal = self._due(choice.text), self._due(choice.refusal)
            if text or refusal:
                released.append(self._chunk(chunk.index, text=text, refusal=refusal))
        refused = self._sieve.refused()
        if refused is not None:
            self._stopped = refused
            return refused
        return Allow(tuple(released), rule=self._name)

    def finish(self) -> Ruling[tuple[ChatChunk, ...]]:
        """The answer is complete: screen the rest, release it, then the finish reasons and the usage."""
        if self._stopped is not None:
            return self._stopped
        released: list[ChatChunk] = []
        for index in sorted(self._choices):
            choice = self._choices[index]
            problem = self._invalid(choice)
            text = self._release(choice.text, final=True)
            refusal = self._release(choice.refusal, final=True)
            calls = tuple(self._screened_call(call) for call in choice.calls.values())
            refused = self._sieve.refused() or problem
            if refused is not None:
                self._stopped = refused
                return refused
            if text or refusal or calls:
                released.append(self._chunk(index, text=text, refusal=refusal, calls=calls))
            if choice.finish is not None:
                released.append(ChatChunk(finish_reason=choice.finish, index=index, id=self._id, model=self._model))
        if self._usage is not None:
            released.append(ChatChunk(usage=self._usage, id=self._id, model=self._model))
        return Allow(tuple(released), rule=self._name, findings=self._sieve.findings)

    def _take(self, choice: _Choice, chunk: ChatChunk) -> None:
        for channel, text in ((choice.text, chunk.text), (choice.refusal, chunk.refusal)):
            if text:
                if not channel.pending:
                    channel.oldest = self._time()
                channel.pending += text
        if chunk.text and self._schema is not None:
            choice.text.whole.append(chunk.text)
        if chunk.text and self._shape is not None:
            self._measure_length(choice, chunk.text, self._shape)
        for delta in chunk.tool_calls:
            call = choice.calls.setdefault(delta.index, _Call(delta.index))
            call.id = call.id or delta.id
            if delta.function is not None:
                call.name = call.name or delta.function.name
                if delta.function.arguments:
                    call.arguments.append(delta.function.arguments)
        choice.finish = chunk.finish_reason or choice.finish

    def _measure_length(self, choice: _Choice, text: str, shape: Shape) -> None:
        before = choice.size or Size()
        known = shape.too_long(before) is not None
        before.add(text)
        choice.size = before
        found = None if known else shape.too_long(before)
        if found is not None:
            self._sieve.note(found, "output")

    def _due(self, channel: _Channel) -> str:
        """Release what may go if a whole window has come, or the oldest character has waited long enough."""
        return self._release(channel, final=False) if self._is_due(len(channel.pending), channel.oldest) else ""

    def _is_due(self, waiting: int, oldest: float) -> bool:
        overlap = self._settings.overlap_chars
        if waiting <= overlap:
            return False
        late = (self._time() - oldest) * 1000 >= self._settings.max_delay_ms
        return waiting >= self._settings.window_chars + overlap or late

    def _release(self, channel: _Channel, *, final: bool) -> str:
        if not channel.pending:
            return ""
        offset = len(channel.context)
        seen = channel.context + channel.pending
        decided = [item for item in self._sieve.measure(seen, "output") if item.finding.end > offset]
        edits = self._sieve.edits(seen, decided)
        restored = self._pseudonyms.edits(seen) if self._pseudonyms else []
        boundary = len(seen)
        if not final:
            boundary -= self._settings.overlap_chars
            spans = [(edit.start, edit.end) for edit in (*edits, *restored)]
            spans += [(i.finding.start, i.finding.end) for i in decided if i.action]
            boundary = _uncut(boundary, spans, len(seen))
        # A finding that ends beyond the boundary is seen again with the next window, so it is counted then.
        self._sieve.decided += [i for i in decided if i.finding.end <= boundary or i.action in _STOPPING]
        if boundary <= offset:
            return ""
        kept = [edit for edit in merge([*edits, *restored]) if offset < edit.end and edit.start < boundary]
        inside = [Edit(max(edit.start, offset) - offset, edit.end - offset, edit.text) for edit in kept]
        text = apply(seen[offset:boundary], inside)
        channel.pending = seen[boundary:]
        channel.context = _context(seen[:boundary])
        channel.oldest = self._time()
        return text

    def _screened_call(self, call: _Call) -> ToolCallDelta:
        name = rewrite_name(call.name, "output", self._sieve.sift) if call.name else call.name
        arguments = self._sieve.sift(plain_json("".join(call.arguments)), "tool_call") if call.arguments else ""
        if self._pseudonyms:
            arguments = apply_json(arguments, self._pseudonyms.edits(arguments))
        return ToolCallDelta(call.index, call.id, "function", FunctionDelta(name, arguments))

    def _invalid(self, choice: _Choice) -> Deny | None:
        if self._schema is None or choice.finish not in {"stop", None} or choice.calls:
            return None
        problem = text_violation(self._schema, "".join(choice.text.whole))
        if not problem:
            return None
        reason = f"The answer does not match the schema: {problem}."
        return Deny(Code.OUTPUT_INVALID, f"{self._name}.schema", reason, findings=self._sieve.findings)

    def _chunk(
        self, index: int, *, text: str = "", refusal: str = "", calls: tuple[ToolCallDelta, ...] = ()
    ) -> ChatChunk:
        return ChatChunk(text=text, refusal=refusal, tool_calls=calls, index=index, id=self._id, model=self._model)


_STOPPING = frozenset({"deny", "escalate", "require_approval"})


def _uncut(boundary: int, spans: list[tuple[int, int]], known: int) -> int:
    """Move the boundary back so that it cuts no span, and so that no span that may still grow is released."""
    for start, end in sorted(spans, reverse=True):
        if start < boundary and (end > boundary or end >= known):
            boundary = start
    return boundary


def _context(released: str) -> str:
    """The end of the released text, cut at white space so that no half word is mistaken for a whole one."""
    if len(released) <= _CONTEXT:
        return released
    tail = released[-_CONTEXT:]
    for at, char in enumerate(tail):
        if char.isspace():
            return tail[at + 1 :]
    return tail
