import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.llm.sse import SseError, SseEvent, SseParser


def parse(data: bytes, sizes: list[int] | None = None) -> list[tuple[bytes, bytes]]:
    parser = SseParser()
    events: list[SseEvent] = []
    sizes = sizes or [len(data) or 1]
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        events += parser.feed(data[position : position + size])
        position += size
        turn += 1
    events += parser.finish()
    return [(event.event, event.data) for event in events]


def reference(data: bytes) -> list[tuple[bytes, bytes]]:
    """The standard's algorithm, line by line, over the whole stream."""
    lines = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))[:-1]
    events: list[tuple[bytes, bytes]] = []
    name, values = b"", list[bytes]()
    for line in lines:
        if not line:
            if values:
                events.append((name, b"\n".join(values)))
            name, values = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            values.append(value)
        elif field == b"event":
            name = value
    return events


def test_the_common_form() -> None:
    assert parse(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [(b"", b'{"a":1}'), (b"", b"[DONE]")]


def test_names_comments_and_several_data_lines() -> None:
    text = (
        b"\xef\xbb\xbf: hi\nevent: e\nid: 7\nretry: 3\ndata: a\ndata:b\ndata\n\nevent: lost\n\ndata: c\r\n\r\ndata: cut"
    )
    assert parse(text) == [(b"e", b"a\nb\n"), (b"", b"c")]


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: x",
                b"data:",
                b"data",
                b"event: e",
                b": c",
                b"id: 1",
                b"\n",
                b"\r",
                b"\r\n",
                b"\n\n",
                b"z",
                b"data:  y",
            ]
        )
    ),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_any_slicing_gives_what_the_standard_says(pieces: list[bytes], sizes: list[int]) -> None:
    data = b"".join(pieces)
    assert parse(data, sizes) == parse(data) == reference(data)


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_arbitrary_bytes(data: bytes, sizes: list[int]) -> None:
    assert parse(data, sizes) == reference(data)


@pytest.mark.parametrize("data", [b"data: " + b"x" * 2000, b"x" * 2000, b"data: abc\n" * 500, b": " + b"c" * 2000])
@pytest.mark.parametrize("size", [1, 7, 4000])
def test_an_endless_event_is_refused_and_not_kept(data: bytes, size: int) -> None:
    parser = SseParser(max_event_bytes=1000)

    def feed_all() -> None:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])

    with pytest.raises(SseError):
        feed_all()


def test_many_small_events_are_not_one_large_one() -> None:
    parser = SseParser(max_event_bytes=100)
    assert sum(len(parser.feed(b"data: 0123456789\n\n")) for _ in range(1000)) == 1000
