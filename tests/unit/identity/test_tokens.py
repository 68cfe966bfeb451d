"""One test per attack and per step of the argument in `greffier.identity.tokens`."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.identity.claims import Pseudonyms, TokenHolder
from greffier.identity.jwks import IssuerKeys
from greffier.identity.settings import IdentitySettings, IssuerSettings, TenantSettings
from greffier.identity.tokens import MAX_TOKEN_BYTES, IssuerConflict, TokenVerifier, trusts_of
from greffier.testing.clock import ManualClock
from greffier.testing.issuer import AUDIENCE, ISSUER, MemoryIssuer, make_key, sign, sign_hs256

PSEUDONYMS = Pseudonyms(bytes(range(32)))


async def accepted(verifier: TokenVerifier, token: str, clock: ManualClock) -> TokenHolder:
    ruling = await verifier.verify(token, clock.wall_ms())
    assert isinstance(ruling, Allow), ruling
    return ruling.value


async def refused(verifier: TokenVerifier, token: str, clock: ManualClock, code: Code = Code.INVALID_TOKEN) -> Deny:
    ruling = await verifier.verify(token, clock.wall_ms())
    assert isinstance(ruling, Deny), "the token was accepted"
    assert ruling.code is code, ruling
    return ruling


def good(issuer: MemoryIssuer, clock: ManualClock, **changes: Any) -> str:
    return issuer.token(issuer.claims(clock.wall_ms() / 1000, **changes))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verifier_for(keys: IssuerKeys, *issuers: IssuerSettings, **options: Any) -> TokenVerifier:
    tenants = {"acme": TenantSettings(title="Acme", issuers=issuers)}
    return TokenVerifier(tenants, keys, PSEUDONYMS, IdentitySettings(**options))


async def test_a_good_token_is_accepted(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    holder = await accepted(verifier, good(issuer, clock), clock)
    assert (holder.tenant, holder.use_case, holder.purpose) == ("acme", "claims", None)
    assert holder.principal.authn == "oidc"
    assert holder.principal.type == "user"
    assert holder.principal.credential_id == "client:claims-frontend"
    assert (holder.principal.groups, holder.principal.roles) == (("analysts",), ("reader",))


async def test_the_subject_is_never_kept(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    holder = await accepted(verifier, good(issuer, clock, sub="alice@example.test"), clock)
    assert "alice" not in repr(holder)
    assert holder.principal.ref.startswith("sub:")
    again = await accepted(verifier, good(issuer, clock, sub="alice@example.test", jti="other"), clock)
    assert again.principal.ref == holder.principal.ref
    other = await accepted(verifier, good(issuer, clock, sub="bob@example.test"), clock)
    assert other.principal.ref != holder.principal.ref


# Algorithms (RFC 8725 sections 2.1 and 3.1)


@pytest.mark.parametrize(
    "algorithm", ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]
)
async def test_every_algorithm_that_settings_can_name(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock, algorithm: Any
) -> None:
    issuer.add_key("other", algorithm)
    verifier = verifier_for(keys, msgspec.structs.replace(settings, algorithms=(algorithm,)))
    claims = issuer.claims(clock.wall_ms() / 1000)
    token = issuer.token(claims, kid="other")
    await accepted(verifier, token, clock)
    head, body, signature = token.split(".")
    flipped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    for wrong in (flipped, "", "AA", b64(bytes(64)), b64(bytes(256)), b64(b"\xff" * 256), signature * 3):
        assert (await refused(verifier, f"{head}.{body}.{wrong}", clock)).rule == "identity.token.signature"
    if algorithm != "ES256":
        assert (await refused(verifier, issuer.token(claims), clock)).rule == "identity.token.algorithm"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], "HS256", "ES256 "])
async def test_alg_none_and_its_spellings(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, algorithm: Any
) -> None:
    claims = json.dumps(issuer.claims(clock.wall_ms() / 1000)).encode()
    header = {"alg": algorithm, "typ": "at+jwt", "kid": "key-1"}
    for signature in ("", b64(b"x" * 64)):
        token = f"{b64(json.dumps(header).encode())}.{b64(claims)}.{signature}"
        assert (await refused(verifier, token, clock)).rule == "identity.token.algorithm"


@pytest.mark.parametrize("published", ["pem", "der", "jwk"])
async def test_the_public_key_is_no_hmac_secret(settings: IssuerSettings, clock: ManualClock, published: str) -> None:
    issuer = MemoryIssuer(algorithm="RS256")
    keys = IssuerKeys(issuer, clock)
    verifier = verifier_for(keys, settings)
    await accepted(verifier, good(issuer, clock), clock)
    key = issuer.keys["key-1"][1]
    assert isinstance(key, RSAKey)
    secrets = {
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
        "jwk": json.dumps(key.as_dict(private=False)).encode(),
    }
    claims = issuer.claims(clock.wall_ms() / 1000, sub="attacker")
    forged = sign_hs256({"alg": "HS256", "typ": "at+jwt", "kid": "key-1"}, claims, secrets[published])
    assert (await refused(verifier, forged, clock)).rule == "identity.token.algorithm"
    await keys.close()


async def test_a_key_serves_only_the_algorithm_it_was_published_for(
    settings: IssuerSettings, clock: ManualClock
) -> None:
    issuer = MemoryIssuer(algorithm="RS256")
    keys = IssuerKeys(issuer, clock)
    verifier = verifier_for(keys, settings)
    claims = issuer.claims(clock.wall_ms() / 1000)
    key = issuer.keys["key-1"][1]
    for algorithm in ("PS256", "ES256", "EdDSA"):
        signer = key if algorithm == "PS256" else make_key(algorithm, "key-1")
        token = sign({"alg": algorithm, "typ": "at+jwt", "kid": "key-1"}, claims, algorithm, signer)
        assert (await refused(verifier, token, clock)).rule == "identity.token.key"
    await keys.close()


async def test_an_ecdsa_signature_of_zeros_is_wrong(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    head, body, _ = good(issuer, clock).split(".")
    for size in (0, 1, 63, 64, 65, 96, 128, 1000):
        assert (await refused(verifier, f"{head}.{body}.{b64(bytes(size))}", clock)).rule == "identity.token.signature"


# Keys (RFC 8725 sections 2.9 and 3.10)


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/proc/self/environ",
        "key-1' UNION SELECT 'secret' --",
        "key-1\x00",
        "KEY-1",
        "https://attacker.example/key",
        "",
        "k" * 257,
        None,
        1,
        ["key-1"],
        {"kid": "key-1"},
    ],
)
async def test_a_kid_is_looked_up_and_nothing_else(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, kid: Any
) -> None:
    claims = issuer.claims(clock.wall_ms() / 1000)
    for key in (issuer.keys["key-1"][1], make_key("ES256", "x")):
        token = sign({"alg": "ES256", "typ": "at+jwt", "kid": kid}, claims, "ES256", key)
        clock.advance(10)
        assert (await refused(verifier, token, clock)).rule == "identity.token.key"
    for secret in (b"", b"\x00", b"secret"):
        header = {"alg": "HS256", "typ": "at+jwt", "kid": kid}
        assert (await refused(verifier, sign_hs256(header, claims, secret), clock)).rule == "identity.token.algorithm"


async def test_keys_and_addresses_in_the_header_are_never_read(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    attacker = make_key("ES256", "key-1")
    claims = issuer.claims(clock.wall_ms() / 1000, sub="attacker")
    public = attacker.as_dict(private=False)
    for extra in (
        {"jwk": public},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "abc", "x5t#S256": "abc"},
    ):
        for kid in ("key-1", "attacker", None):
            token = sign({"alg": "ES256", "typ": "at+jwt", "kid": kid} | extra, claims, "ES256", attacker)
            clock.advance(10)
            assert (await refused(verifier, token, clock)).rule in {"identity.token.signature", "identity.token.key"}
    # With an honest signature such members change nothing.
    await accepted(verifier, issuer.token(claims, jku="https://idp.example.test/keys"), clock)


async def test_a_flood_of_unknown_kids_costs_the_issuer_next_to_nothing(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    await accepted(verifier, good(issuer, clock), clock)
    before = issuer.fetches
    claims = issuer.claims(clock.wall_ms() / 1000)
    stranger = make_key("ES256", "x")
    codes = set()
    for number in range(300):
        clock.advance(0.01)
        token = sign({"alg": "ES256", "typ": "at+jwt", "kid": f"flood-{number}"}, claims, "ES256", stranger)
        ruling = await verifier.verify(token, clock.wall_ms())
        assert isinstance(ruling, Deny)
        codes.add(ruling.code)
    assert issuer.fetches - before <= 1
    assert codes <= {Code.INVALID_TOKEN, Code.IDENTITY_UNAVAILABLE}
    await accepted(verifier, good(issuer, clock), clock)


# Type and extensions


@pytest.mark.parametrize("typ", ["JWT", "id_token+jwt", "dpop+jwt", "logout+jwt", "at+jwt2", "", None, 1, ["at+jwt"]])
async def test_other_types_are_refused(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, typ: Any
) -> None:
    token = issuer.token(issuer.claims(clock.wall_ms() / 1000), typ=typ)
    assert (await refused(verifier, token, clock)).rule == "identity.token.type"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
async def test_spellings_of_the_type(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, typ: str
) -> None:
    await accepted(verifier, issuer.token(issuer.claims(clock.wall_ms() / 1000), typ=typ), clock)


async def test_a_provider_without_rfc_9068_needs_an_explicit_setting(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    lenient = verifier_for(keys, msgspec.structs.replace(settings, token_types=("at+jwt", "JWT")))
    claims = issuer.claims(clock.wall_ms() / 1000, jti=None)
    await accepted(lenient, issuer.token(claims, typ="JWT"), clock)
    for mark in ("nonce", "at_hash", "c_hash", "events"):
        token = issuer.token(claims | {mark: "x"}, typ="JWT")
        assert (await refused(lenient, token, clock)).rule == "identity.token.type"


@pytest.mark.parametrize("crit", [["b64"], ["exp"], [], None, "b64"])
async def test_critical_extensions_are_refused(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, crit: Any
) -> None:
    key = issuer.keys["key-1"][1]
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "key-1", "crit": crit, "b64": True}).encode()
    claims = json.dumps(issuer.claims(clock.wall_ms() / 1000)).encode()
    template = sign({"alg": "ES256"}, claims, "ES256", key)
    token = f"{b64(header)}.{template.split('.')[1]}.{template.split('.')[2]}"
    assert (await refused(verifier, token, clock)).rule == "identity.token.crit"


# Issuer and audience (RFC 8725 sections 3.8 and 3.9)


@pytest.mark.parametrize("iss", [ISSUER + "/", "https://IDP.example.test", "https://evil.test", "", None, 1, [ISSUER]])
async def test_wrong_issuer(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, iss: Any) -> None:
    assert (await refused(verifier, good(issuer, clock, iss=iss), clock)).rule == "identity.token.issuer"


@pytest.mark.parametrize(
    "aud", ["https://other.test", AUDIENCE + "/", AUDIENCE[:-1], "", None, [], ["a", "b"], {AUDIENCE: 1}, [[AUDIENCE]]]
)
async def test_wrong_audience(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, aud: Any) -> None:
    assert (await refused(verifier, good(issuer, clock, aud=aud), clock)).rule == "identity.token.audience"


async def test_one_of_several_audiences(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    await accepted(verifier, good(issuer, clock, aud=["https://other.test", AUDIENCE]), clock)


async def test_tenants_of_one_issuer_are_told_apart_by_audience(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    theirs = msgspec.structs.replace(settings, audience="https://globex.example.test")
    tenants = {
        "acme": TenantSettings(title="Acme", issuers=(settings,)),
        "globex": TenantSettings(title="Globex", issuers=(theirs,)),
    }
    verifier = TokenVerifier(tenants, keys, PSEUDONYMS)
    ours = await accepted(verifier, good(issuer, clock), clock)
    other = await accepted(verifier, good(issuer, clock, aud="https://globex.example.test"), clock)
    assert (ours.tenant, other.tenant) == ("acme", "globex")
    assert ours.principal.ref != other.principal.ref, "references of two tenants cannot be linked"
    both = good(issuer, clock, aud=[AUDIENCE, "https://globex.example.test"])
    assert (await refused(verifier, both, clock)).rule == "identity.token.audience"
    with pytest.raises(IssuerConflict, match="globex"):
        TokenVerifier(tenants | {"globex": tenants["acme"]}, keys, PSEUDONYMS)


async def test_an_issuer_cannot_speak_for_another(settings: IssuerSettings, clock: ManualClock) -> None:
    class Both:
        async def fetch(self, location: Any) -> bytes:
            return (one if location.issuer == one.issuer else two).jwks()

        async def close(self) -> None: ...

    one, two = MemoryIssuer(), MemoryIssuer("https://second.example.test")
    keys = IssuerKeys(Both(), clock)
    verifier = verifier_for(keys, settings, msgspec.structs.replace(settings, issuer=two.issuer))
    await accepted(verifier, good(one, clock), clock)
    await accepted(verifier, good(two, clock), clock)
    forged = two.token(one.claims(clock.wall_ms() / 1000))  # signed by the second, says it is from the first
    assert (await refused(verifier, forged, clock)).rule == "identity.token.signature"
    await keys.close()


# Times (RFC 7519 sections 4.1.4 to 4.1.6) and required claims (RFC 9068 section 2.2)


async def test_times_at_their_edges(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    now, skew = clock.wall_ms() // 1000, 30
    await accepted(verifier, good(issuer, clock, exp=now - skew + 1), clock)
    assert (await refused(verifier, good(issuer, clock, exp=now - skew), clock)).rule == "identity.token.expired"
    for name in ("nbf", "iat"):
        await accepted(verifier, good(issuer, clock, **{name: now + skew}), clock)
        assert (await refused(verifier, good(issuer, clock, **{name: now + skew + 1}), clock)).rule == (
            "identity.token.early"
        )


@pytest.mark.parametrize("value", [True, "9999999999", -1, 1e300, 10**30, [], {}])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
async def test_times_that_are_no_times(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, name: str, value: Any
) -> None:
    assert (await refused(verifier, good(issuer, clock, **{name: value}), clock)).rule == "identity.token.claims"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
async def test_numbers_that_json_does_not_have(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, constant: str
) -> None:
    claims = json.dumps(issuer.claims(clock.wall_ms() / 1000, exp="EXP")).replace('"EXP"', constant).encode()
    token = sign({"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}, claims, "ES256", issuer.keys["key-1"][1])
    assert (await refused(verifier, token, clock)).rule == "identity.token.format"


@pytest.mark.parametrize("name", ["exp", "iat", "jti", "sub", "client_id"])
async def test_missing_claims(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, name: str) -> None:
    refusal = await refused(verifier, good(issuer, clock, **{name: None}), clock)
    assert refusal.rule == "identity.token.claims"


@pytest.mark.parametrize("value", ["", 1, ["alice"], "x" * 513, "a\nb"])
@pytest.mark.parametrize("name", ["sub", "client_id"])
async def test_names_that_are_no_names(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, name: str, value: Any
) -> None:
    refusal = await refused(verifier, good(issuer, clock, **{name: value}), clock)
    assert refusal.rule == "identity.token.claims"


@pytest.mark.parametrize("cnf", [{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "x"}, {}, None])
async def test_a_bound_token_is_no_bearer_token(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, cnf: Any
) -> None:
    token = issuer.token(issuer.claims(clock.wall_ms() / 1000) | {"cnf": cnf})
    assert (await refused(verifier, token, clock)).rule == "identity.token.bound"


# Ambiguity (RFC 8725 sections 2.6 and 3.7)


async def test_a_claim_given_twice(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    claims = json.dumps(issuer.claims(clock.wall_ms() / 1000))
    doubled = (claims[:-1] + ', "sub": "administrator"}').encode()
    key = issuer.keys["key-1"][1]
    token = sign({"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}, doubled, "ES256", key)
    assert (await refused(verifier, token, clock)).rule == "identity.token.format"


async def test_a_header_member_given_twice(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    _, body, signature = good(issuer, clock).split(".")
    header = b'{"alg":"none","typ":"at+jwt","kid":"key-1","alg":"ES256"}'
    assert (await refused(verifier, f"{b64(header)}.{body}.{signature}", clock)).rule == "identity.token.format"


async def test_the_same_token_in_another_spelling(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    token = good(issuer, clock)
    head, body, signature = token.split(".")
    for other in (
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}\n",
        f" {token}",
        f"{head}=.{body}.{signature}",
    ):
        assert (await refused(verifier, other, clock)).rule == "identity.token.format"
    for ignored in ("\n\n\n\n", "!!!!", "    ", "~~~~"):  # decoders that skip what they do not know would accept these
        for other in (f"{head}.{body}.{signature[:4]}{ignored}{signature[4:]}", f"{head}{ignored}.{body}.{signature}"):
            assert (await refused(verifier, other, clock)).rule == "identity.token.format"
    standard = base64.b64encode(base64.urlsafe_b64decode(signature + "==")).rstrip(b"=").decode()
    if standard != signature:
        assert (await refused(verifier, f"{head}.{body}.{standard}", clock)).rule == "identity.token.format"


@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b"1", b"{", b"\xff\xfe", b"[" * 9000, b'{"a":' * 2000])
async def test_claims_that_are_no_object(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, payload: bytes
) -> None:
    token = sign({"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}, payload, "ES256", issuer.keys["key-1"][1])
    assert (await refused(verifier, token, clock)).rule == "identity.token.format"


async def test_an_oversized_token(verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock) -> None:
    await accepted(verifier, good(issuer, clock, groups=["g" * 500] * 15), clock)
    refusal = await refused(verifier, good(issuer, clock, groups=["g" * 500] * 40), clock)
    assert refusal.rule == "identity.token.size"
    await refused(verifier, "a." * (MAX_TOKEN_BYTES * 10), clock)


# What is remembered


async def test_a_verified_token_is_not_verified_again(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    token = good(issuer, clock)
    first = await verifier.verify(token, clock.wall_ms())
    assert await verifier.verify(token, clock.wall_ms()) is first
    clock.advance(61)
    assert await verifier.verify(token, clock.wall_ms()) is not first


async def test_a_remembered_token_still_expires(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    verifier = verifier_for(keys, settings, token_cache_s=600)
    token = good(issuer, clock, exp=clock.wall_ms() // 1000 + 10)
    await accepted(verifier, token, clock)
    clock.advance(39.999)
    await accepted(verifier, token, clock)
    clock.advance(0.001)
    assert (await refused(verifier, token, clock)).rule == "identity.token.expired"


async def test_a_token_that_begins_like_a_verified_one_is_not_that_token(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    """CVE-2026-35030: a cache keyed by the first characters lets any token of the same issuer in."""
    token = good(issuer, clock)
    await accepted(verifier, token, clock)
    head, _, signature = token.split(".")
    forged_claims = b64(json.dumps(issuer.claims(clock.wall_ms() / 1000, sub="administrator")).encode())
    for forged in (f"{head}.{forged_claims}.{signature}", token[:-2] + "AA", token + "A", token[:-1]):
        await refused(verifier, forged, clock)


async def test_memory_is_bounded_and_refusals_are_not_remembered(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    verifier = verifier_for(keys, settings, token_cache_entries=3)
    for number in range(10):
        await accepted(verifier, good(issuer, clock, jti=str(number)), clock)
        await refused(verifier, good(issuer, clock, jti=str(number), aud="other"), clock)
    assert len(verifier._remembered) == 3


async def test_a_withdrawn_key_ends_what_was_remembered(
    verifier: TokenVerifier, keys: IssuerKeys, settings: IssuerSettings, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    token = good(issuer, clock)
    await accepted(verifier, token, clock)
    del issuer.keys["key-1"]
    issuer.add_key("key-2")
    clock.advance(10)
    (trust,) = trusts_of({"acme": TenantSettings(title="Acme", issuers=(settings,))})
    await keys.ring(trust).refresh()
    assert (await refused(verifier, token, clock)).rule == "identity.token.key"


async def test_an_outage_beyond_its_bound_ends_what_was_remembered(
    settings: IssuerSettings, keys: IssuerKeys, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    brief = msgspec.structs.replace(settings, jwks_max_age_s=60, jwks_stale_s=120)
    verifier = verifier_for(keys, brief, token_cache_s=600)
    token = good(issuer, clock, exp=clock.wall_ms() // 1000 + 3600)
    await accepted(verifier, token, clock)
    issuer.reachable = False
    clock.advance(180)
    await accepted(verifier, token, clock)
    clock.advance(1)
    await refused(verifier, token, clock, Code.IDENTITY_UNAVAILABLE)
    issuer.reachable = True
    clock.advance(5)
    await accepted(verifier, token, clock)


async def test_refusals_never_quote_the_token(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock
) -> None:
    marker = "s3cr3t-marker"
    key = issuer.keys["key-1"][1]
    hostile = [
        good(issuer, clock, iss=marker),
        good(issuer, clock, aud=marker),
        good(issuer, clock, sub=[marker]),
        good(issuer, clock, client_id=marker, groups=[{"x": marker}]),
        sign({"alg": marker, "typ": "at+jwt", "kid": "key-1"}, issuer.claims(clock.wall_ms() / 1000), "ES256", key),
        sign({"alg": "ES256", "typ": marker, "kid": "key-1"}, issuer.claims(clock.wall_ms() / 1000), "ES256", key),
        sign({"alg": "ES256", "typ": "at+jwt", "kid": marker}, issuer.claims(clock.wall_ms() / 1000), "ES256", key),
        marker + "." + marker + "." + marker,
    ]
    for token in hostile:
        clock.advance(10)
        ruling = await verifier.verify(token, clock.wall_ms())
        assert isinstance(ruling, Deny)
        assert marker not in repr(ruling)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    token=st.one_of(
        st.text(max_size=300),
        st.lists(st.binary(max_size=80), min_size=3, max_size=3).map(lambda p: ".".join(map(b64, p))),
    )
)
async def test_no_text_is_accepted_or_makes_the_verifier_fail(
    verifier: TokenVerifier, clock: ManualClock, token: str
) -> None:
    await refused(verifier, token, clock)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "client_id", "scope", "groups", "roles", "azp"]
    ),
    value=_JSON,
)
async def test_an_issuer_that_writes_nonsense_gets_a_ruling_and_no_crash(
    verifier: TokenVerifier, issuer: MemoryIssuer, clock: ManualClock, name: str, value: Any
) -> None:
    claims = issuer.claims(clock.wall_ms() / 1000) | {name: value}
    ruling = await verifier.verify(issuer.token(claims), clock.wall_ms())
    if isinstance(ruling, Allow):
        principal = ruling.value.principal
        assert all(isinstance(entry, str) for entry in (*principal.groups, *principal.roles))
