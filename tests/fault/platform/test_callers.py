"""Callers who take their time: nobody else waits for them, and they are sent away."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from greffier.testing.platform import Platform

PATIENCE_S = 6.0


@contextlib.contextmanager
def dribbling(platform: Platform, start: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have sent the beginning of a request."""
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", platform.port), 10)) for _ in range(count)
        ]
        for caller in callers:
            caller.sendall(start)
        yield callers


def answer_of(caller: socket.socket, more: bytes) -> bytes:
    """What a connection gets in the end while it goes on sending a byte at a time."""
    received = b""
    caller.settimeout(0.1)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with contextlib.suppress(TimeoutError):
                piece = caller.recv(4096)
                if not piece:
                    return received
                received += piece
            caller.sendall(more)
        except (BrokenPipeError, ConnectionResetError):
            return received
    pytest.fail(f"the connection is still open after {PATIENCE_S} s")


def test_headers_that_never_end_are_cut_off(platform: Platform, key: str) -> None:
    with dribbling(platform, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ", 200) as callers:
        assert platform.chat(key, "hello").status == 200
        assert answer_of(callers[0], b"a") == b""
        callers[-1].settimeout(PATIENCE_S)
        assert callers[-1].recv(1) == b""  # one that fell silent is cut off as well


def test_a_connection_that_says_nothing_is_closed(platform: Platform) -> None:
    with dribbling(platform, b"", 1) as (caller,):
        caller.settimeout(PATIENCE_S)
        assert caller.recv(1) == b""


def test_a_second_request_on_a_connection_has_no_more_time_than_the_first(platform: Platform, key: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    with dribbling(platform, head.encode() + b"GET /v1/mod", 1) as (caller,):
        assert answer_of(caller, b"e").startswith(b"HTTP/1.1 200")


def test_headers_without_end_are_refused_before_they_fill_the_memory(platform: Platform) -> None:
    start = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n"
    lost = contextlib.suppress(BrokenPipeError, ConnectionResetError)
    with dribbling(platform, start, 1) as (caller,), lost:
        for number in range(100_000):
            caller.sendall(b"x-filler-%d: %s\r\n" % (number, b"f" * 1000))
        pytest.fail("a hundred megabytes of headers were accepted")


def test_what_is_no_http_gets_an_answer_of_ours(platform: Platform) -> None:
    with dribbling(platform, b"this is not HTTP\r\n\r\n", 1) as (caller,):
        answer = answer_of(caller, b"")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"invalid_request" in answer


def test_a_body_that_never_ends_is_refused_in_the_callers_dialect(platform: Platform, key: str) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 900\r\n"
    with dribbling(platform, head.encode() + b"content-type: application/json\r\n\r\n{", 50) as callers:
        assert platform.chat(key, "hello").status == 200
        answer = answer_of(callers[0], b" ")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"request_timeout" in answer


def test_a_caller_who_reads_nothing_does_not_fill_the_memory(platform: Platform, key: str) -> None:
    body = b'{"stream":true,"messages":[{"role":"user","content":"[[chunks=3000]] [[say=%s]]"}]}' % (b"word " * 9000)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with dribbling(platform, head.encode() + body, 8):
        for _ in range(5):
            assert platform.chat(key, "hello").status == 200
