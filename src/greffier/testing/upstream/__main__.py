"""``python -m greffier.testing.upstream --port 18080``: the scripted upstream on its own."""

import argparse
import asyncio
import signal
import sys

import uvloop

from greffier.testing.upstream.server import ScriptedUpstream


async def _serve(port: int, api_key: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ScriptedUpstream(port, api_key=api_key, capture=False) as upstream:
        sys.stdout.write(upstream.base_url + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the address is the first line of output."""
    parser = argparse.ArgumentParser(description="A model server that does as it is told.")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--api-key", default="", help="refuse requests without this key")
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.api_key))


if __name__ == "__main__":
    main()
