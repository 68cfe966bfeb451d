"""Unpredictable bytes from the kernel, fetched a page at a time.

A request needs half a dozen short random values. Each call of the kernel hands the interpreter lock to whoever waits
for it, which on a busy worker costs ten times what the bytes do. Every byte is handed out once.
"""

import os
import threading

_PAGE = 4096


class _Pool(threading.local):
    """One per thread."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what is left; a forked process must not hand out what its parent does."""
        self._page, self._at = b"", 0

    def take(self, size: int) -> bytes:
        """Return ``size`` bytes."""
        page, start = self._page, self._at
        end = start + size
        if end > len(page):
            page, start, end = os.urandom(max(_PAGE, size)), 0, size
            self._page = page
        self._at = end
        return page[start:end]


_POOL = _Pool()
os.register_at_fork(after_in_child=_POOL.clear)


def random_bytes(size: int) -> bytes:
    """Return ``size`` bytes that nobody can predict. For what every request needs; keys come from `secrets`."""
    return _POOL.take(size)
