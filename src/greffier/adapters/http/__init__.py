"""The outbound HTTP/1.1 client: lean, pooled, and able to reach one origin only (ADR 0060)."""

from greffier.adapters.http.client import BadHeader, HttpClient, StreamedExchange
from greffier.adapters.http.exchange import Exchange
from greffier.adapters.http.faults import Fault, HttpError
from greffier.adapters.http.origin import BadUrl, Origin, Proxy
from greffier.adapters.http.tls import tls_context

__all__ = [
    "BadHeader",
    "BadUrl",
    "Exchange",
    "Fault",
    "HttpClient",
    "HttpError",
    "Origin",
    "Proxy",
    "StreamedExchange",
    "tls_context",
]
