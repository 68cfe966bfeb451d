"""The engine process: ``python -m greffier.adapters.providers.local.engine --model PATH --port-file FILE``.

Loads a GGUF file, opens llama.cpp's OpenAI-shaped server on a random port of 127.0.0.1 under a random key, and writes
both to a file only its owner can read. Dies with its parent, whatever kills that.
"""

import argparse
import ctypes
import os
import resource
import secrets
import signal
import sys
from pathlib import Path

import msgspec
import xllamacpp

_PR_SET_PDEATHSIG = 1
_MEBIBYTE = 1_048_576
_HTTP_THREADS = 64  # llama.cpp's HTTP server keeps a thread per kept connection
_ERRORS_ONLY = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill us when the parent goes (prctl(2)), and go at once if it has gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0 or os.getppid() != parent:
        sys.exit(1)


def publish(port_file: Path, address: str, key: str) -> None:
    """Write where the engine listens, whole or not at all, readable by the owner only."""
    scratch = port_file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode({"address": address, "key": key, "pid": os.getpid()}))
    scratch.replace(port_file)


def parameters(options: argparse.Namespace, key: str) -> xllamacpp.CommonParams:
    """llama.cpp's settings: no web page, no slot or property endpoints, no prompt cache shared between tenants."""
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.name}
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_threads_http = _HTTP_THREADS
    params.api_keys = [key]
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.verbosity = _ERRORS_ONLY
    params.offline = True
    return params


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="Serve a GGUF model on 127.0.0.1.")
    parser.add_argument("--model", required=True, help="path of the GGUF file")
    parser.add_argument("--port-file", required=True, type=Path, help="where to write address and key")
    parser.add_argument("--name", default="local", help="model name to report")
    parser.add_argument("--context", type=int, default=2048, help="tokens of context per request")
    parser.add_argument("--slots", type=int, default=2, help="requests at the same time")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute")
    parser.add_argument("--memory-mib", type=int, default=0, help="cap on address space; 0 for none")
    parser.add_argument("--parent", type=int, default=0, help="process id to die with")
    options = parser.parse_args()
    if options.parent:
        die_with_parent(options.parent)
    if options.memory_mib:
        limit = options.memory_mib * _MEBIBYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    key = secrets.token_urlsafe(32)
    server = xllamacpp.Server(parameters(options, key))
    publish(options.port_file, server.listening_address, key)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
