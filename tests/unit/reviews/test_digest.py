"""What an approval is bound to."""

import msgspec

from greffier.core.chat import ChatRequest, Message
from greffier.guardrails.reviews import digest_of


def test_the_digest_holds_everything_that_was_approved() -> None:
    request = ChatRequest("m", (Message("user", "hello"),))
    known = {digest_of("t", "u", "p", request)}
    for other in (
        ("t2", "u", "p", request),
        ("t", "u2", "p", request),
        ("t", "u", "p2", request),
        ("t", "u", "p", msgspec.structs.replace(request, model="m2")),
        ("t", "u", "p", msgspec.structs.replace(request, messages=(Message("user", "hello "),))),
        ("t", "u", "p", msgspec.structs.replace(request, max_tokens=1)),
        ("t", "u", "p", msgspec.structs.replace(request, params={"temperature": 1})),
    ):
        digest = digest_of(*other)
        assert digest not in known
        known.add(digest)
    assert digest_of("t", "u", "p", msgspec.structs.replace(request)) in known
