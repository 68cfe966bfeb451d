import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.identity.keys import (
    KEY_LENGTH,
    KEY_PATTERN,
    IssuedKey,
    digest_of,
    is_well_formed,
    issue_key,
    issue_successor,
)

NOW = 1_800_000_000_000
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def issue() -> IssuedKey:
    return issue_key(tenant="acme", use_case="claims", created_ms=NOW, expires_ms=NOW + 1000)


def test_a_key_has_the_documented_shape() -> None:
    issued = issue()
    assert len(issued.key) == KEY_LENGTH
    assert re.fullmatch(KEY_PATTERN, issued.key)
    assert issued.key.startswith(f"grf_{issued.record.id}_")
    assert is_well_formed(issued.key)


def test_the_checksum_is_the_documented_one_recomputed_from_scratch() -> None:
    key = issue().key
    value = 0
    for digit in key[-6:]:
        value = value * 62 + BASE62.index(digit)
    assert value == zlib.crc32(key[:-6].encode())


def test_a_scanner_finds_the_key_in_text() -> None:
    key = issue().key
    text = f'curl -H "Authorization: Bearer {key}" https://gateway.example/v1/models # and grf_something_else'
    assert re.findall(KEY_PATTERN, text) == [key]


def test_the_secret_part_has_at_least_160_bits() -> None:
    assert 62**30 > 2**160


def test_only_the_digest_is_kept() -> None:
    issued = issue()
    secret = issued.key.split("_")[2]
    assert issued.record.digest == digest_of(issued.key)
    for shown in (repr(issued.record), repr(issued), str(issued.record)):
        assert secret not in shown
        assert issued.record.digest.hex() not in shown
        assert repr(issued.record.digest) not in shown


def test_keys_differ() -> None:
    keys = {issue().key for _ in range(200)}
    assert len(keys) == 200
    assert len({key[:16] for key in keys}) == 200


def test_a_successor_has_the_same_rights_and_another_secret() -> None:
    old = issue_key(
        tenant="acme",
        use_case="claims",
        created_ms=NOW,
        expires_ms=NOW + 1000,
        groups=("a",),
        roles=("b",),
        purpose="p",
        attributes={"x": "y"},
        principal_type="agent",
        label="l",
    )
    new = issue_successor(old.record, created_ms=NOW + 5, expires_ms=NOW + 9)
    newest = issue_successor(new.record, created_ms=NOW + 6, expires_ms=NOW + 9)
    assert new.key != old.key
    assert new.record.family == newest.record.family == old.record.id
    for name in ("tenant", "use_case", "groups", "roles", "purpose", "attributes", "principal_type", "label"):
        assert getattr(new.record, name) == getattr(old.record, name)


@given(st.integers(0, KEY_LENGTH - 1), st.sampled_from(BASE62))
def test_any_single_changed_character_breaks_the_checksum(position: int, character: str) -> None:
    key = issue().key
    changed = key[:position] + character + key[position + 1 :]
    assert is_well_formed(changed) is (changed == key)


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail(text: str) -> None:
    assert is_well_formed(text) is False
    assert is_well_formed("grf_" + text) is False


@pytest.mark.parametrize("bad", ["", "grf_", "grf_" + "٣" * 49, "grf_" + "0" * 12 + "-" + "0" * 36, "x" * KEY_LENGTH])
def test_look_alikes_are_refused(bad: str) -> None:
    assert not is_well_formed(bad)


@pytest.mark.parametrize(
    ("now", "revoked", "successor", "state"),
    [
        (NOW, None, "", "active"),
        (NOW, None, "other", "retiring"),
        (NOW + 999, None, "other", "retiring"),
        (NOW + 1000, None, "other", "expired"),
        (NOW + 1000, NOW, "", "revoked"),
    ],
)
def test_state(now: int, revoked: int | None, successor: str, state: str) -> None:
    record = issue_key(tenant="t", use_case="u", created_ms=NOW, expires_ms=NOW + 1000).record
    changed = type(record)(
        **{name: getattr(record, name) for name in record.__struct_fields__}
        | {"revoked_ms": revoked, "successor": successor}
    )
    assert changed.state(now) == state
