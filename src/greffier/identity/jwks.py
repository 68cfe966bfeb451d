"""Public keys of the issuers, fetched ahead of need and kept through outages.

A token names its signing key by an id (``kid``). The id is looked up among the keys that the pinned issuer published,
and that is all it can do: it is never a path, a query or an address. A key serves exactly the algorithms that its type,
its curve and its own ``alg`` permit, so no token can choose how a key is used (RFC 8725 sections 2.1 and 3.1).
"""

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from greffier.core.clock import Clock
from greffier.identity.jose import Malformed, read_object, unbase64url
from greffier.identity.ports import JwksLocation, JwksSource, JwksUnavailable

_LOG = logging.getLogger(__name__)

MAX_KEYS = 100
MAX_KID_LENGTH = 256
_RSA_BITS = 2048  # RFC 7518 sections 3.3 and 3.5: a key of 2048 bits or larger MUST be used
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
_REFRESH_GAP_S = 5.0  # least distance between two fetches that callers can bring about
_ABSENT_S = 60.0  # for how long a key that was not in the set is taken not to exist
_MAX_STRANGERS = 256
_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 60.0


class Trust(msgspec.Struct, frozen=True):
    """An issuer's keys and how long they may be believed.

    Attributes:
        location: Where they are published.
        max_age_s: Seconds after which they must have been fetched again.
        stale_s: Seconds for which they may be used beyond that while the issuer cannot be reached.
    """

    location: JwksLocation
    max_age_s: int
    stale_s: int


class IssuerHealth(msgspec.Struct, frozen=True):
    """For ``/healthz`` and metrics: ``age_s`` of the keys (infinite without any), ``error`` of the last fetch."""

    issuer: str
    keys: int
    age_s: float
    usable: bool
    error: str


def read_keys(document: bytes) -> dict[tuple[str, str], Key]:
    """Read a JSON Web Key Set (RFC 7517) into verification keys by (key id, algorithm).

    Keys that cannot verify a signature are left out, as RFC 7517 section 5 asks: unknown types, keys for encryption,
    symmetric keys (in a public document they are no secret), keys whose private half was published, weak RSA keys, keys
    without an id. Two keys for the same id and algorithm contradict each other, so neither is used.

    Raises:
        JwksUnavailable: The document is no key set, is too large, or holds no usable key.
    """
    try:
        entries = read_object(document).get("keys")
    except Malformed as error:
        raise JwksUnavailable(f"the key set is {error}") from error
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise JwksUnavailable(f"the key set is not a list of at most {MAX_KEYS} keys")
    keys: dict[tuple[str, str], Key] = {}
    contradictions: set[tuple[str, str]] = set()
    for entry in entries:
        for algorithm, key in _verification_keys(entry):
            name = (entry["kid"], algorithm)
            if name in keys:
                contradictions.add(name)
            keys[name] = key
    for name in contradictions:
        del keys[name]
    if not keys:
        raise JwksUnavailable("the key set holds no key that can verify a signature")
    return keys


def _verification_keys(entry: Any) -> list[tuple[str, Key]]:
    if not isinstance(entry, dict) or not _names_a_verification_key(entry):
        return []
    shape = entry.get("crv") if entry.get("kty") in ("EC", "OKP") else entry.get("kty")
    algorithms = _ALGORITHMS.get(shape, ()) if isinstance(shape, str) else ()
    if not algorithms:
        return []
    try:
        if shape == "RSA" and int.from_bytes(unbase64url(entry["n"].encode())).bit_length() < _RSA_BITS:
            return []
        # The algorithm is decided here and now, so joserfc need not look at `alg` again (it knows EdDSA by a new name).
        key = JWKRegistry.import_key({name: value for name, value in entry.items() if name != "alg"})
        key.get_op_key("verify")
    except (JoseError, Malformed, ValueError, TypeError, KeyError, AttributeError):  # whatever a bad entry provokes
        return []
    only = entry.get("alg")
    if only == "Ed25519":  # RFC 9864's name for what the same key does
        only = "EdDSA"
    return [(algorithm, key) for algorithm in algorithms if only is None or only == algorithm]


def _names_a_verification_key(entry: dict[str, Any]) -> bool:
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    return (
        isinstance(kid, str)
        and 0 < len(kid) <= MAX_KID_LENGTH
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and not _PRIVATE & entry.keys()
    )


class KeyRing:
    """One issuer's keys: fetched in the background, used through outages for a bounded time."""

    def __init__(self, trust: Trust, source: JwksSource, clock: Clock) -> None:
        self._trust = trust
        self._source = source
        self._clock = clock
        self._keys: dict[tuple[str, str], Key] = {}
        self._kids: frozenset[str] = frozenset()
        self._document = b""
        self._confirmed = float("-inf")  # when the fetch that brought the keys began
        self._attempted = float("-inf")
        self._strangers: dict[str, float] = {}  # unknown key ids, and when each was first asked for
        self._error = "the keys have not been fetched yet"
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.version = 0  # changes whenever the keys do, so that verdicts made with other keys can be told apart

    @property
    def usable(self) -> bool:
        """Whether the keys are recent enough to be believed (stale-if-error, RFC 5861 section 4)."""
        return self._clock.monotonic() - self._confirmed <= self._trust.max_age_s + self._trust.stale_s

    def start(self) -> None:
        """Begin to fetch in the background, well before the keys grow old."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="issuer-keys")

    def stop(self) -> None:
        """Stop fetching in the background. A fetch that requests still wait for ends by itself."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None

    async def close(self) -> None:
        """Stop everything; requests must have ended."""
        tasks = [task for task in (self._keeping, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeping = None

    def health(self) -> IssuerHealth:
        """How the ring stands."""
        age_s = self._clock.monotonic() - self._confirmed
        return IssuerHealth(self._trust.location.issuer, len(self._keys), age_s, self.usable, self._error)

    async def find(self, kid: str, algorithm: str) -> Key | None:
        """The key with this id for this algorithm; None when the issuer is known not to have it.

        An unknown id may belong to a key published a moment ago, so it is worth one fetch. Fetches keep a minimum
        distance, whoever asks: a flood of made-up ids costs the issuer one fetch in five seconds. An id that no fetch
        has had the chance to confirm is "unavailable" and not "invalid".

        Raises:
            JwksUnavailable: The keys are too old or cannot be fetched, so nothing can be said.
        """
        if not self.usable:
            await self.refresh()
            if not self.usable:
                raise JwksUnavailable(self._error or "the issuer's keys are too old")
        key = self._keys.get((kid, algorithm))
        if key is not None or kid in self._kids:
            return key
        asked = self._first_asked(kid)
        if self._confirmed < asked:
            await self.refresh()
        if self._confirmed < asked:
            raise JwksUnavailable(
                self._error or "the issuer's keys were fetched a moment ago; the id is newer than that"
            )
        return self._keys.get((kid, algorithm))

    async def refresh(self) -> None:
        """Fetch now, or join the fetch that is under way; does nothing within five seconds of the last one."""
        if self._fetching is None:
            if self._clock.monotonic() - self._attempted < _REFRESH_GAP_S:
                return
            self._fetching = asyncio.create_task(self._fetch(), name="issuer-keys-fetch")
        # The fetch belongs to everyone who waits for it: one caller's hang-up must not end it.
        await asyncio.shield(self._fetching)

    def _first_asked(self, kid: str) -> float:
        """When the id was first asked for; only a fetch that began later says whether it exists."""
        now = self._clock.monotonic()
        asked = self._strangers.get(kid)
        if asked is not None and (self._confirmed < asked or now - self._confirmed < _ABSENT_S):
            return asked
        self._remember(kid, now)  # new, or the answer is old by now: ask again
        return now

    def _remember(self, kid: str, asked: float) -> None:
        if kid not in self._strangers and len(self._strangers) >= _MAX_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[kid] = asked

    async def _fetch(self) -> None:
        began = self._attempted = self._clock.monotonic()
        try:
            document = await self._source.fetch(self._trust.location)
            if document != self._document:
                self._replace(document, read_keys(document), began)
        except JwksUnavailable as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - a plugin's source may raise anything; we must go on asking it
            self._failed(f"the source of keys failed: {type(error).__name__}")
        else:
            self._confirmed = began
            if self._failing:
                _LOG.warning("the keys of %s can be fetched again", self._trust.location.issuer)
            self._error, self._failing = "", False
        finally:
            self._fetching = None

    def _failed(self, error: str) -> None:
        if not self._failing:  # told once per outage
            _LOG.warning("the keys of %s cannot be fetched: %s", self._trust.location.issuer, error)
        self._error, self._failing = error, True

    def _replace(self, document: bytes, keys: dict[tuple[str, str], Key], began: float) -> None:
        kids = frozenset(kid for kid, _ in keys)
        for withdrawn in self._kids - kids:
            self._remember(withdrawn, began)  # known to be absent as of this fetch
        self._document, self._keys, self._kids = document, keys, kids
        self.version += 1

    async def _keep(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await self.refresh()
            if self._error:
                wait_s, retry_s = retry_s, min(retry_s * 2, _LAST_RETRY_S)
            else:
                wait_s, retry_s = self._trust.max_age_s * 0.8, _FIRST_RETRY_S
            # Workers started together must not ask together for ever after.
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, decides nothing


class IssuerKeys:
    """The key rings of all trusted issuers. Lives as long as the process; snapshots come and go above it."""

    def __init__(self, source: JwksSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._rings: dict[Trust, KeyRing] = {}

    def ring(self, trust: Trust) -> KeyRing:
        """The ring of an issuer; begins to fetch when it is new. Needs a running event loop."""
        ring = self._rings.get(trust)
        if ring is None:
            ring = self._rings[trust] = KeyRing(trust, self._source, self._clock)
            ring.start()
        return ring

    def keep(self, trusts: Iterable[Trust]) -> None:
        """Begin to fetch the keys of these issuers and forget all others. Call at start and after each snapshot."""
        wanted = set(trusts)
        for trust in wanted:
            self.ring(trust)
        for trust in self._rings.keys() - wanted:
            self._rings.pop(trust).stop()

    def health(self) -> tuple[IssuerHealth, ...]:
        """How each issuer's keys stand."""
        return tuple(ring.health() for ring in self._rings.values())

    async def close(self) -> None:
        """Stop fetching and release connections."""
        for ring in self._rings.values():
            await ring.close()
        self._rings.clear()
        await self._source.close()
