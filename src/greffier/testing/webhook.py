"""A recipient of personal data for tests: takes signed notices, checks them as the specification says, can be away."""

import base64
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Recipient:
    """What arrived at a webhook, and how it answers."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.status = 204
        self.received: list[dict[str, Any]] = []
        self.url = ""

    def genuine(self, identifier: str, timestamp: str, body: bytes, signatures: str) -> bool:
        """Whether one of the signatures is right (Standard Webhooks, symmetric)."""
        mac = hmac.digest(self.secret, f"{identifier}.{timestamp}.".encode() + body, "sha256")
        wanted = f"v1,{base64.b64encode(mac).decode()}"
        return any(hmac.compare_digest(wanted, one) for one in signatures.split())


@contextmanager
def recipient(secret: bytes) -> Iterator[Recipient]:
    """Run a webhook on this machine."""
    state = Recipient(secret)

    class Hook(BaseHTTPRequestHandler):
        """Takes one notice."""

        def do_POST(self) -> None:
            """Refuse what is not genuine."""
            body = self.rfile.read(int(self.headers["content-length"]))
            said = (self.headers["webhook-id"], self.headers["webhook-timestamp"])
            status = state.status if state.genuine(*said, body, self.headers["webhook-signature"]) else 401
            if status < 300:  # noqa: PLR2004 - taken
                state.received.append({"webhook-id": said[0], "path": self.path, **json.loads(body)})
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/privacy/notices"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
