"""What the platform leans on goes away: callers who may be served are, the rest learn the truth, nobody gets a 401."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from greffier.testing.issuer import AUDIENCE, MemoryIssuer
from greffier.testing.platform import Platform, eventually
from greffier.testing.ports import free_port
from greffier.testing.redis_server import RedisServer, running_server

Make = Callable[..., Platform]


def test_a_damaged_key_database_stops_the_start_and_not_the_running_gateway(make: Make, issued: str) -> None:
    platform = make().start()
    assert platform.chat(issued, "hello").status == 200
    database = platform.workspace / ".greffier" / "state.db"
    damaged = database.with_name("damaged.db")
    damaged.write_bytes(b"this is no database" * 4096)
    for name in ("state.db-wal", "state.db-shm"):
        (database.parent / name).unlink(missing_ok=True)
    damaged.replace(database)

    def warned() -> bool:
        return "key store" in " ".join(platform.request("GET", "/healthz").json["warnings"])

    eventually(warned)
    assert platform.chat(issued, "hello").status == 200
    unknown = platform.chat(issued[:-1] + ("a" if issued[-1] != "a" else "b"), "hello")
    assert unknown.status in {401, 503}
    assert platform.stop() == 0

    code, said = platform.refusal()
    assert code == 4
    assert "key store" in said
    assert "Traceback" not in said


def test_a_locked_key_database_keeps_nobody_out(platform: Platform, key: str) -> None:
    intruder = sqlite3.connect(platform.workspace / ".greffier" / "state.db", isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    try:
        for _ in range(5):
            assert platform.chat(key, "hello").status == 200
            time.sleep(0.1)
    finally:
        intruder.execute("ROLLBACK")
        intruder.close()


@contextlib.contextmanager
def key_server(issuer: MemoryIssuer, port: int) -> Iterator[None]:
    """Publishes an issuer's keys while inside."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = issuer.jwks()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_issuer_keys_out_of_reach_are_no_reason_to_call_a_token_invalid(make: Make, issued: str) -> None:
    port = free_port()
    issuer = MemoryIssuer(f"http://127.0.0.1:{port}")
    platform = make()
    settings = platform.workspace / "greffier.yaml"
    settings.write_text(
        settings.read_text().replace(
            "acme: {title: Acme}",
            f"""acme:
    title: Acme
    issuers:
      - issuer: {issuer.issuer}
        audience: {AUDIENCE}
        jwks_uri: {issuer.issuer}/jwks
        client_claim: client_id
        use_cases: [{{claim: client_id, equals: claims-frontend, use_case: assistant}}]""",
        )
    )
    platform.start()
    token = issuer.token(issuer.claims(time.time()))

    down = platform.chat(token, "hello")
    assert (down.status, down.code) == (503, "identity_unavailable")
    assert platform.chat(issued, "hello").status == 200  # keys do not need the issuer
    with key_server(issuer, port):
        eventually(lambda: platform.chat(token, "hello").status == 200, 40)
    other = issuer.token(issuer.claims(time.time(), jti="token-2"))
    assert platform.chat(other, "hello").status == 200  # down again: the keys it gave are still good


def limited(make: Make, server: RedisServer, on_unavailable: str) -> Platform:
    shared = f"shared: {{url: env:REDIS_URL, lease_ms: 200, on_unavailable: {on_unavailable}}}"
    limits = f"limits: {{per_key: {{requests_per_minute: 1000}}, {shared}}}\n"
    return make(workers=2, environment={"REDIS_URL": server.url}, settings=limits).start()


def warm(platform: Platform, key: str) -> None:
    """Let every worker meet the server: one that never has knows no bound, and refuses."""
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status for answer in pool.map(lambda _: platform.chat(key, "hello"), range(40))} == {200}


def outage(platform: Platform, key: str) -> list[tuple[int, str]]:
    """What callers are told, and that no one waits long for it."""
    told = []
    for _ in range(30):
        began = time.monotonic()
        answer = platform.chat(key, "hello")
        told.append((answer.status, answer.code if answer.status != 200 else ""))
        assert time.monotonic() - began < 5
    return told


def test_shared_limits_out_of_reach_degrade_within_known_bounds(make: Make, issued: str) -> None:
    with contextlib.contextmanager(running_server)() as server:
        platform = limited(make, server, "local")
        warm(platform, issued)
        server.freeze()
        assert outage(platform, issued) == [(200, "")] * 30
        server.thaw()
        server.kill()
        assert outage(platform, issued) == [(200, "")] * 30
        server.start()
        assert platform.chat(issued, "hello").status == 200
        assert platform.stop() == 0


def test_shared_limits_out_of_reach_refuse_where_the_workspace_says_so(make: Make, issued: str) -> None:
    with contextlib.contextmanager(running_server)() as server:
        platform = limited(make, server, "deny")
        warm(platform, issued)
        server.freeze()
        time.sleep(0.5)  # leases run out
        told = outage(platform, issued)
        assert set(told) <= {(200, ""), (503, "limits_unavailable")}
        assert told[-1] == (503, "limits_unavailable")
        server.thaw()
        eventually(lambda: platform.chat(issued, "hello").status == 200)
