"""An OAuth issuer in memory: publishes keys, signs any token, honest or hostile, and can be out of reach."""

import hmac
import json
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from greffier.identity.ports import JwksLocation, JwksUnavailable

ISSUER = "https://idp.example.test"
AUDIENCE = "https://gateway.example.test"


class MemoryIssuer:
    """Implements `greffier.identity.ports.JwksSource`; counts how often its keys were fetched."""

    def __init__(self, issuer: str = ISSUER, algorithm: str = "ES256") -> None:
        self.issuer = issuer
        self.keys: dict[str, tuple[str, Key]] = {}
        self.reachable = True
        self.fetches = 0
        self.document: bytes | None = None  # overrides what the keys would give
        self.add_key("key-1", algorithm)

    def add_key(self, kid: str, algorithm: str = "ES256") -> Key:
        """Make and publish a signing key."""
        key = make_key(algorithm, kid)
        self.keys[kid] = (algorithm, key)
        return key

    async def fetch(self, location: JwksLocation) -> bytes:
        """Return the key set, or fail as an issuer that is down."""
        self.fetches += 1
        if not self.reachable or location.issuer != self.issuer:
            raise JwksUnavailable("the issuer cannot be reached")
        return self.jwks() if self.document is None else self.document

    async def close(self) -> None:
        """Nothing to release."""

    def jwks(self) -> bytes:
        """The key set as published."""
        keys = [key.as_dict(private=False, use="sig", alg=algorithm) for algorithm, key in self.keys.values()]
        return json.dumps({"keys": keys}).encode()

    def claims(self, now_s: float, **changes: Any) -> dict[str, Any]:
        """Claims of a good access token; a change to None leaves the claim out."""
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "7d1c0d9a-alice",
            "client_id": "claims-frontend",
            "iat": int(now_s),
            "exp": int(now_s) + 300,
            "jti": "token-1",
            "scope": "gateway:invoke openid",
            "groups": ["analysts"],
            "roles": ["reader"],
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, claims: dict[str, Any], kid: str = "key-1", **header: Any) -> str:
        """Sign claims with a published key; ``header`` members are added, and a member set to None is left out."""
        algorithm, key = self.keys[kid]
        return sign({"alg": algorithm, "typ": "at+jwt", "kid": kid} | header, claims, algorithm, key)


def make_key(algorithm: str, kid: str) -> Key:
    """A private key that fits the algorithm."""
    parameters: Any = {"kid": kid}
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519", parameters)
    if algorithm.startswith("ES"):
        curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        return ECKey.generate_key(curves[algorithm], parameters)
    return RSAKey.generate_key(2048, parameters)


def sign(header: dict[str, Any], payload: dict[str, Any] | bytes, algorithm: str, key: Key) -> str:
    """Sign exactly these bytes with exactly this algorithm, whatever the header says."""
    header = {name: value for name, value in header.items() if value is not None}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signing_input = urlsafe_b64encode(json.dumps(header).encode()) + b"." + urlsafe_b64encode(body)
    model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
    return (signing_input + b"." + urlsafe_b64encode(model.sign(signing_input, key))).decode()


def sign_hs256(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> str:
    """Sign with HMAC-SHA-256 and any secret; libraries refuse to do this with a public key, attackers do not."""
    signing_input = ".".join(_encode(json.dumps(part).encode()) for part in (header, payload))
    return f"{signing_input}.{_encode(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()
