"""Two scripted model servers on a thread of their own, so that plain blocking tests can use them."""

import asyncio
import threading

from greffier.testing.upstream import ScriptedUpstream

_PATIENCE_S = 10


class Peers:
    """An external and an on-premises model server.

    Attributes:
        external: Stands for a vendor's.
        onprem: Stands for our own.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peers", daemon=True)
        self.external = ScriptedUpstream()
        self.onprem = ScriptedUpstream()

    def start(self) -> None:
        """Start both."""
        self._thread.start()
        for server in (self.external, self.onprem):
            asyncio.run_coroutine_threadsafe(server.__aenter__(), self._loop).result(_PATIENCE_S)

    def stop(self) -> None:
        """Stop both."""
        for server in (self.external, self.onprem):
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def clear(self) -> None:
        """Forget the requests captured so far."""
        self.external.requests.clear()
        self.onprem.requests.clear()
