"""What can go wrong on the wire, named once."""

from enum import StrEnum


class Fault(StrEnum):
    """Kinds of failure. Adapters translate them to their port's errors in one table."""

    ADDRESS_FORBIDDEN = "address_forbidden"
    NAME_UNKNOWN = "name_unknown"
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    POOL_TIMEOUT = "pool_timeout"
    PROXY_FAILED = "proxy_failed"
    TLS_FAILED = "tls_failed"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    CLOSED_UNANSWERED = "closed_unanswered"
    CLOSED_MIDWAY = "closed_midway"
    NOT_HTTP = "not_http"
    TOO_LARGE = "too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    ENCODED = "encoded"


class HttpError(Exception):
    """An exchange failed.

    Attributes:
        fault: What went wrong.
        detail: A few words for the operator; never content or secrets.
    """

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else str(fault))
        self.fault = fault
        self.detail = detail
