"""TCP ports for servers of tests, also where several test processes look for one at the same time."""

import random
import socket
from collections import deque

_FIRST, _LAST = 20_000, 32_000  # below the ephemeral range, so that nothing takes the port before we bind it
_ATTEMPTS = 200
_CLAIMS = 64

# Between our look and the server's bind nobody holds the port, and another worker of the test run might find it free
# too. Every port found is therefore claimed by a name in the kernel that goes with this process; only the newest claims
# are kept, because servers older than those listen by now.
_claims: deque[socket.socket] = deque()


def free_port() -> int:
    """A TCP port that nobody listens on and no other process of tests was just given.

    Raises:
        RuntimeError: None was found.
    """
    for _ in range(_ATTEMPTS):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0greffier-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        if len(_claims) > _CLAIMS:
            _claims.popleft().close()
        return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")
