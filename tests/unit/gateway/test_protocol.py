"""The head of a request, on a real socket: bounded in size and time, never answered with a framework's text."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvicorn

from greffier.gateway.app import GatewayApp
from greffier.gateway.protocol import GatewayProtocol, with_head_timeout
from greffier.testing.pipelines import KEY, ScriptedHealth, scripted_pipelines

OPEN = b"<open>"  # what `talk` appends when the server kept the connection
BODY = b'{"messages":[{"role":"user","content":"please upgrade me"}]}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n" % KEY.encode()


Impatient = with_head_timeout(0.05)


@contextlib.asynccontextmanager
async def listening(protocol: type[GatewayProtocol] = GatewayProtocol) -> AsyncIterator[int]:
    app = GatewayApp(scripted_pipelines(), ScriptedHealth())
    config = uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await server.shutdown()


async def talk(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces and read until the server closes, or until a whole answer came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        answer = b""
        try:
            while piece := await asyncio.wait_for(reader.read(65536), 0.7):
                answer += piece
        except TimeoutError:
            return answer + OPEN
        except ConnectionResetError:
            return answer
        return answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


def problem_in(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"x-request-id: req_" in head
    assert b"connection: close" in head
    return int(answer[9:12]), msgspec.json.decode(body)["code"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",  # request smuggling
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_gets_an_answer_of_ours_or_none(rubbish: bytes) -> None:
    async with listening() as port:
        answer = await talk(port, rubbish)
        assert answer != OPEN
        if answer:
            assert problem_in(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nhost: b\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n", 200),
    ],
)
async def test_a_request_names_its_host_once(head: bytes, status: int) -> None:
    async with listening() as port:
        answer = await talk(port, head + b"\r\n")
        assert int(answer[9:12]) == status
        if status != 200:
            assert problem_in(answer) == (400, "invalid_request")


async def test_heads_are_bounded_whole_or_in_pieces() -> None:
    async with listening() as port:
        start = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n"
        for pieces in (
            (start + b"a: " + b"x" * 70_000 + b"\r\n\r\n",),
            (start, b"a: ", *[b"x" * 10_000] * 8),
            (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",),
        ):
            assert problem_in(await talk(port, *pieces, pause_s=0.005)) == (400, "invalid_request")


async def test_a_large_body_in_the_same_breath_is_no_large_head() -> None:
    body = BODY.replace(b"please", b"x" * 100_000)
    async with listening() as port:
        answer = await talk(port, HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_a_head_that_trickles_is_given_up() -> None:
    async with listening(Impatient) as port:
        assert await talk(port, HEAD, b"a: b") == b""
        assert await talk(port, b"") == b""


async def test_a_second_request_that_trickles_is_given_up_too() -> None:
    first = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    async with listening(Impatient) as port:
        answer = await talk(port, first, HEAD, pause_s=0.02)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert not answer.endswith(OPEN)


@pytest.mark.parametrize("offer", [b"Upgrade: h2c", b"upgrade: h2c", b"UPGRADE: H2C", b"Upgrade: websocket"])
async def test_an_offer_to_upgrade_is_ignored_and_the_body_is_read(offer: bytes) -> None:
    head = (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\n" + offer + b"\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    )
    async with listening() as port:
        answer = await talk(port, head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"please upgrade me" in answer


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    one = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    two = one.replace(b"please upgrade me", b"second in a row..")
    async with listening() as port:
        answer = await talk(port, one + two)
        assert answer.count(b"HTTP/1.1 200") == 2
        assert answer.index(b"please upgrade me") < answer.index(b"second in a row")


async def test_an_old_caller_gets_a_stream_without_chunks() -> None:
    body = BODY[:-1] + b',"stream":true}'
    head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"content-length: %d\r\n\r\n"
    async with listening() as port:
        head_of, _, stream = (await talk(port, head % len(body) + body)).partition(b"\r\n\r\n")
        assert head_of.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding" not in head_of
        assert stream.startswith(b"data: {")
        assert stream.endswith(b"data: [DONE]\n\n")
        whole = await talk(port, head % len(BODY) + BODY)
        assert b"content-length: " in whole
        assert whole.endswith(b"}")


@pytest.mark.parametrize("body", [b"5\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}", b"F" * 17 + b"\r\n{}"])
async def test_a_body_in_chunks_that_are_none_is_refused_and_not_just_dropped(body: bytes) -> None:
    async with listening() as port:
        for pieces in (
            (HEAD + b"transfer-encoding: chunked\r\n\r\n" + body,),
            (HEAD + b"transfer-encoding: chunked\r\n\r\n", body),
        ):
            assert problem_in(await talk(port, *pieces, pause_s=0.01)) == (400, "invalid_request")
