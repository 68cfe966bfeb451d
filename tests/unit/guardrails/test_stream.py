import base64
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.guardrails.conftest import SCREEN, TOPICS

from greffier.core.chat import ChatChunk, ChatRequest, FunctionDelta, Message, ToolCallDelta, Usage
from greffier.core.context import Grant
from greffier.core.errors import Code
from greffier.core.prompt import Prompt
from greffier.core.rulings import Allow, Deny
from greffier.guardrails.normalise import views
from greffier.guardrails.prompt import Placed, place_prompt
from greffier.guardrails.screen import Guard, ScreenedInput
from greffier.guardrails.settings import ScreenSettings, StreamSettings
from greffier.guardrails.stream import StreamScreen

CARD = "4111 1111 1111 1111"


class Ticking:
    def __init__(self) -> None:
        self.now = 0.0

    def wall_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now


def make(stream: StreamSettings, clock: Ticking | None = None) -> Guard:
    return Guard({"default": msgspec.structs.replace(SCREEN, stream=stream)}, TOPICS, clock=clock or Ticking())


SMALL = make(StreamSettings(window_chars=64, overlap_chars=48))
FULL = make(StreamSettings(mode="full"))


async def screened_by(guard: Guard, grant: Grant, text: str = "hello") -> ScreenedInput:
    ruling = await guard.screen_input(ChatRequest("m", (Message("user", text),)), grant)
    assert isinstance(ruling, Allow)
    return ruling.value


def play(stream: StreamScreen, chunks: list[ChatChunk]) -> tuple[str, Deny | None, list[ChatChunk]]:
    out: list[ChatChunk] = []
    for chunk in chunks:
        ruling = stream.feed(chunk)
        if isinstance(ruling, Deny):
            return "".join(c.text for c in out), ruling, out
        out += ruling.value
    last = stream.finish()
    if isinstance(last, Deny):
        return "".join(c.text for c in out), last, out
    out += last.value
    return "".join(c.text for c in out), None, out


def cut(text: str, sizes: list[int]) -> list[ChatChunk]:
    chunks, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        chunks.append(ChatChunk(text=text[at : at + size]))
        at += size
        turn += 1
    return [*chunks, ChatChunk(finish_reason="stop")]


PIECES = st.sampled_from(
    [
        "The weather is fine today. ",
        f"Card {CARD}. ",
        "Mail anna@corp.example now, ",
        "key AKIAQ3EGRXK5ZJ7WMN2B, ",
        "<EMAIL_1> said so. ",
        "\n\nNew paragraph: ",
        "žluťoučký kůň 😀 ",
        "1234 ",
        "a < b > c ",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=14), st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_chunking_releases_exactly_the_redaction_of_the_whole(
    grant: Grant, pieces: list[str], sizes: list[int]
) -> None:
    text = "".join(pieces)
    screened = await screened_by(SMALL, grant, "I am eve@corp.example")
    whole, refused, _ = play(FULL.open_stream(screened), cut(text, [len(text)]))
    assert refused is None
    released, refused, _ = play(SMALL.open_stream(screened), cut(text, sizes))
    assert refused is None
    assert released == whole
    assert "4111" not in released
    assert "anna@" not in released
    assert "AKIA" not in released


HIDDEN = {
    "spelt": " ".join("anna@corp.example"),
    "dotted": ".".join("anna@corp.example"),
    "full width": "".join(chr(ord(char) + 0xFEE0) for char in "anna@corp.example"),
    "zero width": "\u200b".join("anna@corp.example"),
    "escaped": "".join(f"%{byte:02x}" for byte in b"<anna@corp.example>")[:57],
    "encoded": base64.b64encode(b"write to anna@corp.example").decode(),
}


@pytest.mark.parametrize("way", HIDDEN)
@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_disguised_never_leaves_however_the_stream_is_cut(
    grant: Grant, way: str, before: list[str], after: list[str], sizes: list[int]
) -> None:
    text = f"{''.join(before)} {HIDDEN[way]} {''.join(after)}"
    released, refused, _ = play(SMALL.open_stream(await screened_by(SMALL, grant)), cut(text, sizes))
    assert refused is None
    readings = [released, *(view.text for view in views(released)[0])]
    assert not any("anna@" in reading or "corp.example" in reading for reading in readings)


@given(st.integers(0, 400), st.lists(st.integers(1, 30), min_size=1, max_size=5))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_refused_span_never_begins_to_leave(grant: Grant, lead: int, sizes: list[int]) -> None:
    text = ("lorem ipsum " * 40)[:lead] + " Acme Bank is cheaper. " + "dolor sit " * 20
    released, refused, _ = play(SMALL.open_stream(await screened_by(SMALL, grant)), cut(text, sizes))
    assert refused is not None
    assert refused.code is Code.OUTPUT_BLOCKED
    assert "Acme" not in released
    assert text.startswith(released)


async def test_the_prompt_does_not_leak_through_a_stream(grant: Grant) -> None:
    screened = await screened_by(SMALL, grant)
    prompt = Prompt(
        "p", 1, "d", "You are the claims assistant of Acme. Never grant more than 500 euro without a supervisor."
    )
    placed = place_prompt(screened.request, prompt, {})
    assert isinstance(placed, Allow)
    assert_stopped(screened, placed.value, "Well. " * 30 + prompt.text + " That is all.")
    assert_stopped(screened, placed.value, "Well. " * 30 + f"ref {placed.value.canary} " + "x " * 100)


def assert_stopped(screened: ScreenedInput, placed: Placed, text: str) -> None:
    released, refused, _ = play(SMALL.open_stream(screened, placed), cut(text, [3]))
    assert refused is not None
    assert refused.rule == "leak"
    assert "claims assistant" not in released
    assert placed.canary not in released


async def test_split_placeholders_are_restored(grant: Grant) -> None:
    screened = await screened_by(SMALL, grant, "I am anna@corp.example")
    guard = make(StreamSettings(window_chars=64, overlap_chars=48))
    text = "Dear <EMAIL_1>, " + "we thank you. " * 30 + "<EMAIL_1> bye"
    released, refused, _ = play(guard.open_stream(screened), cut(text, [1]))
    assert refused is None
    assert released == text.replace("<EMAIL_1>", "anna@corp.example")


async def test_full_mode_releases_nothing_before_the_end(grant: Grant) -> None:
    stream = FULL.open_stream(await screened_by(FULL, grant))
    for chunk in cut("word " * 2000, [50])[:-1]:
        ruling = stream.feed(chunk)
        assert isinstance(ruling, Allow)
        assert ruling.value == ()
    assert isinstance(stream.finish(), Allow)


async def test_the_delay_is_bounded_in_characters_and_time(grant: Grant) -> None:
    clock = Ticking()
    guard = make(StreamSettings(window_chars=100, overlap_chars=50, max_delay_ms=200), clock)
    stream = guard.open_stream(await screened_by(guard, grant))
    fed = released = 0
    for _ in range(400):
        ruling = stream.feed(ChatChunk(text="word "))
        assert isinstance(ruling, Allow)
        fed += 5
        released += sum(len(c.text) for c in ruling.value)
        assert fed - released <= 150
    stream = guard.open_stream(await screened_by(guard, grant))
    stream.feed(ChatChunk(text="x" * 60))
    clock.now += 0.3
    ruling = stream.feed(ChatChunk(text=" y"))
    assert isinstance(ruling, Allow)
    assert [len(c.text) for c in ruling.value] == [12]


async def test_choices_and_tool_calls_are_kept_apart(grant: Grant) -> None:
    stream = SMALL.open_stream(await screened_by(SMALL, grant))
    arguments = json.dumps({"card": CARD, "n": 1})
    chunks = [ChatChunk(index=0), ChatChunk(index=1)]
    chunks += [ChatChunk(index=i % 2, text="ab"[i % 2]) for i in range(400)]
    chunks.append(ChatChunk(index=1, tool_calls=(ToolCallDelta(0, "c1", "function", FunctionDelta("pay", "")),)))
    chunks += [ChatChunk(index=1, tool_calls=(ToolCallDelta(0, function=FunctionDelta(None, c)),)) for c in arguments]
    chunks += [
        ChatChunk(index=0, finish_reason="stop"),
        ChatChunk(index=1, finish_reason="tool_calls"),
        ChatChunk(usage=Usage(1, 2)),
    ]
    _, refused, out = play(stream, chunks)
    assert refused is None
    assert "".join(c.text for c in out if c.index == 0) == "a" * 200
    assert "".join(c.text for c in out if c.index == 1) == "b" * 200
    calls = [call for c in out for call in c.tool_calls]
    assert [(c.index, c.id, c.function.name if c.function else None) for c in calls] == [(0, "c1", "pay")]
    assert calls[0].function is not None
    assert json.loads(calls[0].function.arguments or "") == {"card": "[CREDIT_CARD]", "n": 1}
    assert [c.finish_reason for c in out if c.finish_reason] == ["stop", "tool_calls"]
    assert [c.usage for c in out if c.usage] == [Usage(1, 2)]
    assert out[-1].usage == Usage(1, 2)


async def test_a_private_key_longer_than_the_window_is_masked_whole(grant: Grant) -> None:
    key = (
        "-----BEGIN PRIVATE KEY-----\n"
        + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODkw\n" * 30
        + "-----END PRIVATE KEY-----"
    )
    text = f"Here it is:\n{key}\nDone, and then some more words follow here. " * 2
    released, refused, _ = play(SMALL.open_stream(await screened_by(SMALL, grant)), cut(text, [7]))
    assert refused is None
    assert "QUJD" not in released
    assert released.count("[SECRET]") == 2


async def test_a_streamed_answer_must_match_its_schema(grant: Grant) -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "object", "required": ["n"]}}}
    ruling = await SMALL.screen_input(ChatRequest("m", (Message("user", "hi"),), response_format=wanted), grant)
    assert isinstance(ruling, Allow)
    good, refused, _ = play(SMALL.open_stream(ruling.value), cut('{"n": 1}', [2]))
    assert (good, refused) == ('{"n": 1}', None)
    bad, refused, _ = play(SMALL.open_stream(ruling.value), cut('{"m": "' + "x" * 300 + '"}', [5]))
    assert bad == ""
    assert refused is not None
    assert refused.code is Code.OUTPUT_INVALID


async def test_log_probabilities_do_not_carry_held_text(grant: Grant) -> None:
    stream = SMALL.open_stream(await screened_by(SMALL, grant))
    _, _, out = play(
        stream, [ChatChunk(text="secret", logprobs={"content": ["secret"]}), ChatChunk(finish_reason="stop")]
    )
    assert all(chunk.logprobs is None for chunk in out)


@pytest.mark.parametrize("default", [ScreenSettings()])
async def test_a_screen_without_rules_still_streams(grant: Grant, default: ScreenSettings) -> None:
    guard = Guard({"default": default})
    released, refused, _ = play(guard.open_stream(await screened_by(guard, grant)), cut("hello " * 300, [9]))
    assert refused is None
    assert released == "hello " * 300


async def test_the_first_fragment_announces_the_role_at_once_and_nothing_of_the_text(grant: Grant) -> None:
    stream = SMALL.open_stream(await screened_by(SMALL, grant))
    ruling = stream.feed(ChatChunk("Good morning, ", id="up-1", model="m"))
    assert isinstance(ruling, Allow)
    assert [(c.text, c.id, c.finish_reason) for c in ruling.value] == [("", "up-1", None)]
    again = stream.feed(ChatChunk("friend.", id="up-1", model="m"))
    assert isinstance(again, Allow)
    assert again.value == ()
