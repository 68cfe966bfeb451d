"""A sink that cannot work says so before the start, and never says a secret."""

import sys
from pathlib import Path

import pytest

from greffier.adapters.sinks.build import BadSink, build_sink, writer_of
from greffier.audit.export.notices import marked_entry
from greffier.audit.sink_settings import SinkSettings, SinkTlsSettings
from greffier.testing.siem_lines import Syslog, parse_cef

SECRET = "not-to-be-seen"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SinkSettings(kind="file"), "'path' is missing"),
        (SinkSettings(kind="kafka", url="tcp://127.0.0.1:1"), "'topic' is missing"),
        (SinkSettings(kind="syslog"), "'url' is missing"),
        (SinkSettings(kind="syslog", url="tls://a/path"), "tls://HOST:PORT"),
        (SinkSettings(kind="syslog", url="tls://a:99999999"), "Port out of range"),
        (SinkSettings(kind="syslog", url="env:PLAIN_SYSLOG"), "unencrypted"),
        (SinkSettings(kind="otlp", url="env:PLAIN_HTTP"), "unencrypted"),
        (SinkSettings(kind="splunk_hec", url="https://a.example", secret="env:NOWHERE"), "NOWHERE is not set"),
        (SinkSettings(kind="splunk_hec", url="https://a.example", secret="env:SPLIT"), "cannot stand in a header"),
        (SinkSettings(kind="elastic", url="https://user:not-to-be-seen@a.example", topic="t"), "user name or password"),
        (SinkSettings(kind="syslog", url="tls://a:1", tls=SinkTlsSettings(ca_file="nowhere.pem")), "TLS file"),
    ],
)
def test_it_refuses(settings: SinkSettings, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN_SYSLOG", "tcp://siem.example:514")
    monkeypatch.setenv("PLAIN_HTTP", "http://collector.example")
    monkeypatch.setenv("SPLIT", f"{SECRET}\r\nx: y")
    with pytest.raises(BadSink) as caught:
        build_sink("siem", settings, tmp_path)
    assert words in caught.value.reason
    assert caught.value.remedy
    assert SECRET not in f"{caught.value.reason} {caught.value.remedy} {caught.value!r}"


@pytest.mark.parametrize("kind", ["kafka", "nats"])
def test_a_missing_library_names_the_extra(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"greffier.adapters.sinks.{kind}", raising=False)
    monkeypatch.setitem(sys.modules, "aiokafka" if kind == "kafka" else "nats", None)
    settings = SinkSettings(kind=kind, url="tcp://127.0.0.1:1", topic="t")  # type: ignore[arg-type]
    with pytest.raises(BadSink) as caught:
        build_sink("siem", settings, tmp_path)
    assert f"greffier[{kind}]" in caught.value.remedy


def test_formats_by_kind() -> None:
    entry = marked_entry("evt_1", 1_795_467_240_123, "prod", "os:olga:1000")
    syslog = Syslog(writer_of(SinkSettings(kind="syslog", format="cef", sd_id="acme@1"))(entry))
    assert parse_cef(syslog.body)[1]["externalId"] == syslog.data["acme@1"]["id"] == "evt_1"
    lines = Syslog(writer_of(SinkSettings(kind="file", format="rfc5424"))(entry))
    assert '"class_uid":6003' in lines.body
    assert b'"@timestamp"' in writer_of(SinkSettings(kind="elastic"))(entry)
