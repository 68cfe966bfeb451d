"""Who is under way goes first: requests that arrive together begin one at a time.

An event loop runs what is ready in the order in which it became ready. A request comes back to the loop several times
(its admission is durable, the model answered, its outcome is durable), and each time it queues behind every request
that arrived meanwhile, whose first step, decoding and screening, is the longest of all. So everyone waits for everyone,
and the slowest of a hundred requests takes twice as long as if they had been served one after the other. Here only one
new request begins in each turn of the loop; those under way then find at most one before them.
"""

import asyncio
from collections import deque


class Turns:
    """One worker's entrance. Waiting requests begin in the order of their arrival."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def begin(self) -> None:
        """Return at once, or in a later turn of the loop if another request began in this one."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._turn, loop)
            return
        waiting = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():  # else its caller has left
                waiting.set_result(None)
                loop.call_soon(self._turn, loop)
                return
        self._taken = False
