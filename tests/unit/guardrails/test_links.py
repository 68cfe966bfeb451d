"""A screen that lists the hosts answers may link to lets no other address out, however it is written."""

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, Choice, Message
from greffier.core.context import Grant
from greffier.core.rulings import Allow
from greffier.guardrails.links import LinkHosts, host_of
from greffier.guardrails.screen import Guard
from greffier.guardrails.settings import ScreenRule, ScreenSettings, StreamSettings

LINKS = LinkHosts(("docs.acme.example", ".intranet.example"))


def found(text: str) -> list[str]:
    return [text[f.start : f.end] for f in LINKS.examine(text)]


@pytest.mark.parametrize(
    "text",
    [
        "see https://docs.acme.example/start?x=1#y.",
        "see https://DOCS.acme.example:8443/",
        "[a](https://hr.intranet.example/a) and [b](//intranet.example/b)",
        "at 10:30, ratio 3:4, C:\\temp, a // comment, mailto:me",
    ],
)
def test_allowed_links_and_other_text_pass(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/?d=secret",
        "HTTP://EVIL.example",
        "https://docs.acme.example@evil.example/",
        "https://docs.acme.example:x@evil.example/",
        "https://evil.example\\@docs.acme.example/",
        "https:\\\\evil.example/a",
        "https:evil.example",
        "https:////evil.example",
        "https://docs.acme.example.evil.example/",
        "https://evildocs.acme.example.evil/",
        "https://xintranet.example/",
        "https://\u0435vil.example/",
        "https://docs.acme.example%2eevil.example/",
        "wss://evil.example/s",
        "https://[::1]/",
    ],
)
def test_other_addresses_are_found_however_they_are_written(address: str) -> None:
    assert found(f"Look: {address} now")
    assert found(f"![x]({address})")


def test_addresses_without_a_scheme_are_found_where_one_is_expected() -> None:
    assert found("![x](//evil.example/p.png)") == ["//evil.example/p.png"]
    assert found('<img src="//evil.example/p.png">')
    assert found("[ref]: //evil.example/p")


def test_encoded_addresses_are_found() -> None:
    encoded = base64.b64encode(b"please open https://evil.example/?d=1 now").decode()
    assert list(LINKS.examine(encoded))
    assert list(LINKS.examine("h\u200bttps://evil.example/x"))


@given(st.text(alphabet="abc.@:/\\?#[] \u0435", max_size=40))
def test_no_reading_of_an_address_ends_in_an_allowed_host_by_accident(tail: str) -> None:
    host = host_of("//evil.example" + tail)
    assert not LINKS._allows(host)


SCREEN = ScreenSettings(
    output=(ScreenRule(id="links", types=("external_link",), then="redact"),),
    link_hosts=("docs.acme.example",),
    stream=StreamSettings(window_chars=64, overlap_chars=64),
)
GRANT = Grant(
    tenant="t", use_case="u", use_case_digest="", purpose="", lawful_basis="", risk_class="high", model="m",
    data_classes=(), screen="default",
)  # fmt: skip
TEXT = (
    "Your report: ![chart](https://evil.example/p?q=c2VjcmV0) and more at https://docs.acme.example/help, as always. "
    * 3
)


async def test_answers_lose_other_links_and_questions_keep_theirs() -> None:
    guard = Guard({"default": SCREEN})
    ruling = await guard.screen_input(ChatRequest("m", (Message("user", "is https://evil.example/ bad?"),)), GRANT)
    assert isinstance(ruling, Allow)
    assert ruling.value.findings == ()
    answer = ChatResponse("id", "m", (Choice(Message("assistant", TEXT)),))
    said = await guard.screen_output(answer, ruling.value)
    assert isinstance(said, Allow)
    content = said.value.choices[0].message.content
    assert isinstance(content, str)
    assert "evil" not in content
    assert content.count("[EXTERNAL_LINK]") == 3
    assert content.count("https://docs.acme.example/help") == 3


LINKED = Guard({"default": SCREEN})
PIECES = st.sampled_from(
    [
        "https://evil.example/p?q=1 ",
        "![chart](https://evil.example/p?q=c2VjcmV0) ",
        "[here](//evil.example/a) ",
        "<img src=https://evil.example/x.png> ",
        "https://docs.acme.example/help ",
        "as always. ",
        "\u017elu\u0165ou\u010dk\u00fd k\u016f\u0148 \U0001f600 ",
        "plain words that fill a window of a stream and say nothing of a link ",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=12), st.lists(st.integers(1, 90), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
async def test_streams_lose_them_wherever_they_are_cut(pieces: list[str], sizes: list[int]) -> None:
    text = "".join(pieces)
    ruling = await LINKED.screen_input(ChatRequest("m", (Message("user", "hi"),)), GRANT)
    assert isinstance(ruling, Allow)
    whole = await LINKED.screen_output(ChatResponse("id", "m", (Choice(Message("assistant", text)),)), ruling.value)
    assert isinstance(whole, Allow)
    stream = LINKED.open_stream(ruling.value)
    said, rest = "", text
    for size in itertools.cycle(sizes):
        passed = stream.feed(ChatChunk(text=rest[:size]))
        assert isinstance(passed, Allow)
        said += "".join(chunk.text for chunk in passed.value)
        rest = rest[size:]
        if not rest:
            break
    last = stream.finish()
    assert isinstance(last, Allow)
    said += "".join(chunk.text for chunk in last.value)
    assert "evil" not in said
    assert said.count("https://docs.acme.example/help") == text.count("https://docs.acme.example/help")
    assert said == whole.value.choices[0].message.content
