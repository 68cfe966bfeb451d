"""Small, bounded HTTP requests of the command line: no redirects, no more bytes than asked for."""

import http.client
import urllib.error
import urllib.request
from typing import Any

_TIMEOUT_S = 15.0


class Unreachable(Exception):  # noqa: N818 - named for the condition
    """The server did not answer as it should. The message says how."""


class NotThere(Unreachable):
    """The server answered 404."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any, **_keywords: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects())


def fetch(url: str, limit: int, *, body: bytes | None = None, content_type: str = "", accept: str = "*/*") -> bytes:
    """GET a URL, or POST a body to it.

    Args:
        url: http or https.
        limit: Most bytes to take; more is an error.
        body: What to POST; None for GET.
        content_type: Of the body.
        accept: Media type wanted.

    Raises:
        NotThere: 404.
        Unreachable: Another status, too many bytes, or no answer.
    """
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"{url} is not an http or https address")
    headers = {"accept": accept, "user-agent": "greffier"} | ({"content-type": content_type} if body else {})
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(limit + 1)
    except urllib.error.HTTPError as error:
        with error:
            kind = NotThere if error.code == http.client.NOT_FOUND else Unreachable
            raise kind(f"{url} answered {error.code}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{url} cannot be reached ({error})") from error
    if len(data) > limit:
        raise Unreachable(f"{url} sends more than {limit} bytes")
    return data
