"""CEF and RFC 5424 survive whatever an event holds, as readers of their own say."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.audit.export.cef import to_cef
from greffier.audit.export.codes import CODES
from greffier.audit.export.entry import Entry
from greffier.audit.export.ocsf import to_json
from greffier.audit.export.rfc5424 import MAX_BYTES, Header, to_syslog
from greffier.testing.siem_lines import Syslog, parse_cef

HEADER = Header(hostname="gw1", process=1)
NASTY = st.text(max_size=60) | st.sampled_from(
    ['"', "]", "\\", "=", "|", "a\nb", "\r\n", 'x="y" z]', "<13>1 -", "\0", "é]"]
)


def entry(text: str, **more: object) -> Entry:
    base = Entry(id="evt_1", seq=7, time_ms=1_795_467_240_123, code=CODES["GW-2001"], actor=text, rule=text)
    return msgspec.structs.replace(base, target=text, reason=text, **more)


def visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


@given(NASTY)
def test_cef_gives_back_what_it_was_given(text: str) -> None:
    fields, pairs = parse_cef(to_cef(entry(text)).decode())
    assert fields[3:5] == ["GW-2001", "request answered"]
    assert pairs["cn1"] == "7"
    assert pairs["cn1Label"] == "seq"
    keys = set(pairs) - {"rt", "externalId", "cn1", "cn1Label", "outcome", "flexNumber1", "flexNumber1Label"}
    assert keys <= {"suid", "cs2", "cs2Label", "fname", "reason"}
    if text:
        assert pairs["suid"].replace("\n", " ").replace("\r", " ").rstrip() == visible(text).rstrip()


@given(NASTY)
def test_structured_data_gives_back_what_it_was_given(text: str) -> None:
    message = Syslog(to_syslog(entry(text), HEADER, b"{}"))
    assert set(message.data) == {"greffier@32473", "meta", "timeQuality"}
    assert message.data["greffier@32473"].get("actor", "") == visible(text)
    assert message.data["greffier@32473"]["seq"] == "7"
    assert message.body == "{}"


def test_all_events_are_proper_syslog(entries: dict[str, Entry]) -> None:
    for one in entries.values():
        message = Syslog(to_syslog(one, HEADER, to_json(one)))
        assert message.priority // 8 == 13
        assert message.msgid == one.code.code
        assert json.loads(message.body)["metadata"]["uid"] == one.id


def test_all_events_are_proper_cef(entries: dict[str, Entry]) -> None:
    for one in entries.values():
        _, pairs = parse_cef(to_cef(one).decode())
        assert pairs["externalId"] == one.id
        assert all(f"{key}Label" in pairs for key in pairs if key[:2] in {"cs", "cn"} and "Label" not in key)


@pytest.mark.parametrize("size", [100, 9000, 200_000])
def test_a_message_never_exceeds_what_receivers_take(size: int) -> None:
    message = to_syslog(entry("é" * size, session="s" * size), HEADER, b"x" * size)
    assert len(message) <= MAX_BYTES
    read = Syslog(message)
    assert read.data["greffier@32473"]["id"] == "evt_1"
    assert (read.data["greffier@32473"].get("cut") == "1") == (size > 1000)


@given(st.text(max_size=300))
def test_header_fields_stay_within_their_alphabet(name: str) -> None:
    message = Syslog(to_syslog(entry("a"), Header(hostname=name, process=1, app=name), b"{}"))
    assert 1 <= len(message.app) <= 48
