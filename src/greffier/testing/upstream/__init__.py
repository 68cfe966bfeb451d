"""A model server that does as it is told: answers, faults and lies on order, for tests, demos and benchmarks.

In a test::

    async with ScriptedUpstream() as upstream:
        upstream.queue(Script(status=503), Script(say="hello"))
        ...  # call upstream.base_url
        assert upstream.requests[0].json["model"] == "m"

On its own: ``python -m greffier.testing.upstream --port 18080``. Orders may also stand in the last user message, as
``[[name=value]]`` markers; `Script` lists them.
"""

from greffier.testing.upstream.script import Script, read_script
from greffier.testing.upstream.server import Captured, ScriptedUpstream

__all__ = ["Captured", "Script", "ScriptedUpstream", "read_script"]
