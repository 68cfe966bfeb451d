"""Copies in a bucket under object lock, over the S3 API, by a client that can reach one origin only (ADR 0116)."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

import msgspec

from greffier.adapters.http import Exchange, HttpClient, HttpError
from greffier.adapters.objects.sigv4 import Credentials, encoded_path, encoded_query, signed_headers
from greffier.adapters.objects.xml import BadXml, Element, parse_xml
from greffier.audit.copies import CopyUnavailable, Lock, Version

_MOST_SHOWN = 200
_LOCK_MODE = b"x-amz-object-lock-mode"
_LOCK_UNTIL = b"x-amz-object-lock-retain-until-date"
_MODES: dict[str, Literal["compliance", "governance"]] = {"COMPLIANCE": "compliance", "GOVERNANCE": "governance"}


class Bucket(msgspec.Struct, frozen=True):
    """Which bucket, and how its copies are locked.

    Attributes:
        name: Of the bucket.
        prefix: Where in it, without slashes at either end.
        region: Its region, as it stands in signatures.
        mode: Of the lock.
        in_path: Whether its name stands in the path; else the client's origin is the bucket's own host.
    """

    name: str
    prefix: str
    region: str
    mode: Literal["compliance", "governance"]
    in_path: bool = True


class S3Store:
    """`LockedStore` behind the S3 API. Asks for no right to delete or to lift a lock."""

    def __init__(
        self,
        client: HttpClient,
        bucket: Bucket,
        credentials: Callable[[], Credentials],
        clock: Callable[[], int],
        page: int = 1000,
    ) -> None:
        """Name the collaborators.

        Args:
            client: For the API's origin; closed with the store.
            bucket: Where to.
            credentials: Whose; asked for every request, because temporary ones are renewed. Raises `CopyUnavailable`.
            clock: Milliseconds since the epoch, for signatures.
            page: Most entries of a listing to ask for at a time.
        """
        self._client = client
        self._bucket = bucket
        self._credentials = credentials
        self._clock = clock
        self._page = page
        self._prefix = f"{bucket.prefix.strip('/')}/" if bucket.prefix.strip("/") else ""

    async def probe(self) -> None:
        """See `LockedStore.probe`."""
        answer = await self._ask("GET", None, (("object-lock", ""),))
        if answer.status == HTTPStatus.NOT_FOUND and _code(answer.body()) == "NoSuchBucket":
            raise CopyUnavailable(f"there is no bucket '{self._bucket.name}'")
        without = answer.status == HTTPStatus.OK and self._parsed(answer.body()).find("ObjectLockEnabled") != "Enabled"
        if without or answer.status == HTTPStatus.NOT_FOUND:
            raise CopyUnavailable(f"the bucket '{self._bucket.name}' was made without object lock")
        self._must(answer, "tell whether the bucket locks")

    async def put(self, key: str, data: bytes, until_ms: int) -> None:
        """See `LockedStore.put`. Two checksums go with it: S3 demands one, older servers know only MD5."""
        until = datetime.fromtimestamp(until_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = (
            ("content-md5", base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()),
            ("content-type", "application/octet-stream"),
            ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(data).digest()).decode()),
            ("x-amz-object-lock-mode", self._bucket.mode.upper()),
            ("x-amz-object-lock-retain-until-date", until),
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
        )
        self._must(await self._ask("PUT", key, (), headers, data), f"take {key}")

    async def get(self, key: str, version: str = "") -> bytes | None:
        """See `LockedStore.get`."""
        answer = await self._ask("GET", key, _named(version))
        if answer.status == HTTPStatus.NOT_FOUND and _code(answer.body()) in {"NoSuchKey", "NoSuchVersion"}:
            return None
        self._must(answer, f"give {key}")
        return answer.body()

    async def lock(self, key: str, version: str = "") -> Lock | None:
        """See `LockedStore.lock`: it stands in the headers of the copy itself."""
        answer = await self._ask("GET", key, _named(version))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        self._must(answer, f"give {key}")
        mode = _MODES.get(answer.headers.get(_LOCK_MODE, ""))
        until = answer.headers.get(_LOCK_UNTIL, "")
        if mode is None or not until:
            return None
        try:
            moment = datetime.fromisoformat(until)
        except ValueError as error:
            raise CopyUnavailable(f"the lock of {key} has an unreadable date") from error
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return Lock(mode, int(moment.timestamp() * 1000))

    async def versions(self, prefix: str) -> list[Version]:
        """See `LockedStore.versions`."""
        found: list[Version] = []
        at: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("versions", ""), ("prefix", self._prefix + prefix), ("max-keys", str(self._page)), *at)
            answer = await self._ask("GET", None, query)
            self._must(answer, "list the copies")
            page = self._parsed(answer.body())
            found += self._listed(page)
            if page.find("IsTruncated") != "true":
                return found
            markers = (("key-marker", "NextKeyMarker"), ("version-id-marker", "NextVersionIdMarker"))
            following = tuple((name, page.find(told)) for name, told in markers if page.find(told))
            if not following or following == at:
                raise CopyUnavailable("the store lists the same copies again and again")
            at = following

    async def close(self) -> None:
        """See `LockedStore.close`."""
        await self._client.close()

    def _listed(self, page: Element) -> Iterator[Version]:
        for entry in page.children:
            if entry.name in {"Version", "DeleteMarker"}:
                key = entry.find("Key").removeprefix(self._prefix)
                yield Version(key, entry.find("VersionId"), entry.name == "DeleteMarker", entry.find("LastModified"))

    async def _ask(
        self,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Exchange:
        bucket = f"/{self._bucket.name}" if self._bucket.in_path else ""
        place = (bucket or "/") if key is None else f"{bucket}/{self._prefix}{key}"
        path, asked = encoded_path(place), encoded_query(query)
        origin = self._client.origin
        whole = encoded_path(origin.prefix) + path
        signed = signed_headers(
            self._credentials(),
            self._bucket.region,
            self._clock(),
            method,
            origin.authority,
            whole,
            asked,
            headers,
            body,
        )
        head = self._client.head(method, f"{path}?{asked}" if asked else path, signed)
        try:
            return await self._client.request(head, body)
        except HttpError as error:
            raise CopyUnavailable(f"{origin.authority}: {error}") from error

    @staticmethod
    def _must(answer: Exchange, what: str) -> None:
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            code = "".join(char for char in _code(answer.body()) if char.isprintable())[:_MOST_SHOWN]
            raise CopyUnavailable(f"the store does not {what}: {answer.status} {code}".rstrip())

    @staticmethod
    def _parsed(body: bytes) -> Element:
        try:
            return parse_xml(body)
        except BadXml as error:
            raise CopyUnavailable(str(error)) from error


def _named(version: str) -> tuple[tuple[str, str], ...]:
    return (("versionId", version),) if version else ()


def _code(body: bytes) -> str:
    """S3's word for what went wrong; empty when the answer is no S3 error."""
    try:
        return parse_xml(body).find("Code") if body.lstrip().startswith(b"<") else ""
    except BadXml:
        return ""
