"""Scripted model servers on a thread of their own, so that plain blocking tests can use them."""

import asyncio
import threading
from collections.abc import Iterator

from greffier.testing.upstream import ScriptedUpstream

_PATIENCE_S = 10.0


class Peers:
    """Two scripted model servers: one stands for an external provider, one for a machine of ours."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.external = ScriptedUpstream()
        self.onprem = ScriptedUpstream()

    @property
    def environment(self) -> dict[str, str]:
        """Where they listen, in the variables that the tests' workspaces refer to."""
        return {"EXTERNAL_URL": self.external.base_url, "ONPREM_URL": self.onprem.base_url}

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        for server in (self.external, self.onprem):
            asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(_PATIENCE_S)

    def stop(self) -> None:
        """Drop all connections and end the thread."""
        for server in (self.external, self.onprem):
            asyncio.run_coroutine_threadsafe(server.stop(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def clear(self) -> None:
        """Forget the requests seen so far."""
        self.external.requests.clear()
        self.onprem.requests.clear()


def running_peers() -> Iterator[Peers]:
    """Body of a fixture."""
    peers = Peers()
    peers.start()
    yield peers
    peers.stop()
