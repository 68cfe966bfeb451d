import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from greffier.identity.jwks import MAX_KEYS, IssuerKeys, KeyRing, Trust, read_keys
from greffier.identity.ports import JwksLocation, JwksUnavailable
from greffier.testing.clock import ManualClock
from greffier.testing.issuer import ISSUER, MemoryIssuer, make_key

TRUST = Trust(JwksLocation(ISSUER), max_age_s=3600, stale_s=86_400)


@pytest.fixture
async def ring(issuer: MemoryIssuer, clock: ManualClock) -> AsyncIterator[KeyRing]:
    made = KeyRing(TRUST, issuer, clock)
    yield made
    await made.close()


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def public(algorithm: str, kid: str = "a", **members: Any) -> dict[str, Any]:
    key: dict[str, Any] = make_key(algorithm, kid).as_dict(private=False)
    return key | members


# Reading a key set


def test_a_key_serves_the_algorithms_of_its_type() -> None:
    assert {algorithm for _, algorithm in read_keys(document(public("RS256")))} == {
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    }  # fmt: skip
    assert set(read_keys(document(public("ES384", "b")))) == {("b", "ES384")}
    assert set(read_keys(document(public("EdDSA", alg="Ed25519")))) == {("a", "EdDSA")}
    assert set(read_keys(document(public("RS256", alg="PS256")))) == {("a", "PS256")}


@pytest.mark.parametrize(
    "useless",
    [
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
        {"kty": "AKP", "kid": "a", "alg": "ML-DSA-44", "pub": "x"},
        {"kty": "EC", "kid": "a", "crv": "secp256k1", "x": "a", "y": "b"},
        {"kty": "EC", "kid": "a", "crv": "P-256"},
        {"kty": "EC", "kid": "a", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "kid": "a", "crv": "P-256", "x": 1, "y": None},
        {"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "a", "n": 5, "e": "AQAB"},
        {"kty": "OKP", "kid": "a", "crv": "X25519", "x": "AAAA"},
        {"kty": ["EC"], "kid": "a", "crv": ["P-256"]},
        public("ES256", use="enc"),
        public("ES256", key_ops=["sign"]),
        public("ES256", key_ops="verify"),
        public("ES256", alg="RS256"),
        public("ES256") | {"kid": ""},
        public("ES256") | {"kid": 7},
        public("ES256", kid="k" * 257),
        make_key("ES256", "a").as_dict(private=True),
        make_key("RS256", "a").as_dict(private=True),
        "key",
        None,
        [],
    ],
)
def test_what_cannot_verify_is_left_out(useless: Any) -> None:
    with pytest.raises(JwksUnavailable):
        read_keys(document(useless))
    assert set(read_keys(document(useless, public("ES256", "good")))) == {("good", "ES256")}


@pytest.mark.parametrize(("bits", "usable"), [(1024, False), (2040, False), (2048, True), (3072, True)])
def test_short_rsa_keys_are_left_out(bits: int, usable: bool) -> None:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    modulus = base64.urlsafe_b64encode(numbers.n.to_bytes((bits + 7) // 8, "big")).rstrip(b"=").decode()
    entry = {"kty": "RSA", "kid": "rsa", "n": modulus, "e": "AQAB"}
    keys = read_keys(document(entry, public("ES256", "good")))
    assert (("rsa", "RS256") in keys) is usable


def test_contradicting_keys_are_both_left_out() -> None:
    keys = read_keys(document(public("ES256", "twice"), public("ES256", "twice"), public("ES384", "twice")))
    assert set(keys) == {("twice", "ES384")}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b"\xff",
        b'{"keys":' + b"[" * 100_000,
        document(public("ES256"), *[{}] * MAX_KEYS),
    ],
)
def test_what_is_no_key_set(nonsense: bytes) -> None:
    with pytest.raises(JwksUnavailable):
        read_keys(nonsense)


# Keeping keys


async def test_keys_are_fetched_once(ring: KeyRing, issuer: MemoryIssuer) -> None:
    found = await asyncio.gather(*(ring.find("key-1", "ES256") for _ in range(50)))
    assert all(key is not None for key in found)
    assert issuer.fetches == 1


async def test_a_rotation_is_followed_at_the_first_token(
    ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    await ring.find("key-1", "ES256")
    clock.advance(60)
    issuer.add_key("key-2")
    assert await ring.find("key-2", "ES256") is not None
    assert await ring.find("key-1", "ES256") is not None
    assert issuer.fetches == 2


async def test_an_unknown_id_is_invalid_only_after_a_fetch_of_its_own(
    ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    await ring.find("key-1", "ES256")
    clock.advance(1)
    with pytest.raises(JwksUnavailable):  # too soon to fetch again, and the keys may have changed since
        await ring.find("key-2", "ES256")
    assert issuer.fetches == 1
    clock.advance(5)
    assert await ring.find("key-2", "ES256") is None
    assert issuer.fetches == 2
    for _ in range(50):
        clock.advance(1)
        assert await ring.find("key-2", "ES256") is None
    assert issuer.fetches == 2, "an id known to be absent is not asked for again at once"
    clock.advance(30)
    issuer.add_key("key-2")
    assert await ring.find("key-2", "ES256") is not None


async def test_an_id_with_another_algorithm_is_no_reason_to_fetch(
    ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    await ring.find("key-1", "ES256")
    clock.advance(60)
    assert await ring.find("key-1", "RS256") is None
    assert issuer.fetches == 1


async def test_strangers_are_remembered_in_bounded_memory(
    ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    await ring.find("key-1", "ES256")
    clock.advance(1)
    for number in range(2000):
        with pytest.raises(JwksUnavailable):
            await ring.find(f"stranger-{number}", "ES256")
    assert len(ring._strangers) <= 256
    assert issuer.fetches == 1


async def test_an_outage_is_bridged_for_a_bounded_time(ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock) -> None:
    await ring.find("key-1", "ES256")
    issuer.reachable = False
    clock.advance(3600 + 86_400)
    assert await ring.find("key-1", "ES256") is not None
    assert ring.usable
    with pytest.raises(JwksUnavailable, match="cannot be reached"):
        await ring.find("key-2", "ES256")
    clock.advance(10)
    with pytest.raises(JwksUnavailable):
        await ring.find("key-1", "ES256")
    assert not ring.health().usable
    issuer.reachable = True
    clock.advance(10)
    assert await ring.find("key-1", "ES256") is not None
    assert ring.health().error == ""


async def test_a_bad_key_set_never_replaces_a_good_one(ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock) -> None:
    await ring.find("key-1", "ES256")
    for bad in (b"<html>maintenance</html>", b'{"keys":[]}', b"{" * 100_000):
        issuer.document = bad
        clock.advance(60)
        await ring.refresh()
        assert "key set" in ring.health().error
        assert await ring.find("key-1", "ES256") is not None


async def test_an_issuer_that_is_down_at_start_is_asked_again(
    ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    issuer.reachable = False
    with pytest.raises(JwksUnavailable):
        await ring.find("key-1", "ES256")
    issuer.reachable = True
    with pytest.raises(JwksUnavailable):  # within the gap nobody can make us ask again
        await ring.find("key-1", "ES256")
    clock.advance(5)
    assert await ring.find("key-1", "ES256") is not None


async def test_a_source_that_breaks_its_contract_is_an_outage(clock: ManualClock) -> None:
    class Broken:
        async def fetch(self, _location: JwksLocation) -> bytes:
            raise ZeroDivisionError

        async def close(self) -> None: ...

    ring = KeyRing(TRUST, Broken(), clock)
    with pytest.raises(JwksUnavailable, match="ZeroDivisionError"):
        await ring.find("key-1", "ES256")
    await ring.close()


async def test_a_caller_that_hangs_up_does_not_end_the_fetch(clock: ManualClock, issuer: MemoryIssuer) -> None:
    gate = asyncio.Event()

    class Slow:
        async def fetch(self, _location: JwksLocation) -> bytes:
            await gate.wait()
            return issuer.jwks()

        async def close(self) -> None: ...

    ring = KeyRing(TRUST, Slow(), clock)
    impatient, patient = (asyncio.create_task(ring.find("key-1", "ES256")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    assert await patient is not None
    await ring.close()


async def test_keys_are_fetched_ahead_and_forgotten_with_the_issuer(clock: ManualClock, issuer: MemoryIssuer) -> None:
    keys = IssuerKeys(issuer, clock)
    keys.keep([TRUST])
    for _ in range(100):
        if keys.health()[0].usable:
            break
        await asyncio.sleep(0.01)
    assert [entry.keys for entry in keys.health()] == [1]
    ring = keys.ring(TRUST)
    keys.keep([TRUST])
    assert keys.ring(TRUST) is ring, "a snapshot that trusts the same issuer keeps its keys"
    keys.keep([])
    assert keys.health() == ()
    await keys.close()


async def test_a_withdrawn_key_is_invalid_at_once(ring: KeyRing, issuer: MemoryIssuer, clock: ManualClock) -> None:
    await ring.find("key-1", "ES256")
    clock.advance(10)
    del issuer.keys["key-1"]
    issuer.add_key("key-2")
    await ring.refresh()
    clock.advance(1)
    assert await ring.find("key-1", "ES256") is None
    assert issuer.fetches == 2
