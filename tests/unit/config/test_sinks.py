"""Mistakes in `sinks:` are named before anything starts."""

from pathlib import Path

import pytest

from greffier.config.bundle import check_workspace
from greffier.config.demo import write_demo


def problems_of(folder: Path, sink: str) -> list[tuple[str, str]]:
    write_demo(folder / "demo")
    settings = folder / "demo" / "greffier.yaml"
    settings.write_text(f"{settings.read_text()}\nsinks:\n  siem: {{{sink}}}\n")
    return [(problem.code, problem.path) for problem in check_workspace(folder / "demo")]


@pytest.mark.parametrize(
    "sink",
    [
        "kind: file, path: out/audit.json, format: rfc5424",
        "kind: syslog, url: 'tls://siem.example:6514', events: [GW-4, GW-6001]",
        "kind: syslog, url: 'tcp://127.0.0.1:6514'",
        "kind: splunk_hec, url: 'https://hec.example:8088', secret: env:HEC_TOKEN, at_least: medium",
        "kind: elastic, url: env:ELASTIC_URL, topic: audit",
        "kind: otlp, url: 'http://localhost:4318'",
        "kind: kafka, url: 'tls://a.example:9093,b.example:9093', topic: audit",
        "kind: nats, url: 'tls://nats.example', topic: audit.events",
    ],
)
def test_good_sinks(tmp_path: Path, sink: str) -> None:
    assert problems_of(tmp_path, sink) == []


@pytest.mark.parametrize(
    ("sink", "code", "path"),
    [
        ("kind: file", "missing_key", "sinks.siem"),
        ("kind: kafka, url: 'tls://a:1'", "missing_key", "sinks.siem"),
        ("kind: splunk_hec, url: 'https://a'", "missing_key", "sinks.siem"),
        ("kind: carrier_pigeon", "wrong_value", "sinks.siem.kind"),
        ("kind: file, path: a, colour: red", "unknown_key", "sinks.siem.colour"),
        ("kind: syslog, url: 'tcp://siem.example:514'", "insecure_url", "sinks.siem.url"),
        ("kind: otlp, url: 'http://collector.example'", "insecure_url", "sinks.siem.url"),
        ("kind: elastic, url: 'tls://a', topic: t", "wrong_value", "sinks.siem.url"),
        ("kind: elastic, url: 'https://user:pass@a', topic: t", "plain_secret", "sinks.siem.url"),
        ("kind: elastic, url: 'https://a', topic: t, format: cef", "wrong_value", "sinks.siem.format"),
        ("kind: splunk_hec, url: 'https://a', secret: abcdef", "plain_secret", "sinks.siem.secret"),
        ("kind: file, path: a, events: [GW-8]", "unknown_reference", "sinks.siem.events[0]"),
        ("kind: file, path: a, events: [logins]", "wrong_value", "sinks.siem.events[0]"),
        ("kind: syslog, url: 'tls://a', sd_id: nonsense", "wrong_value", "sinks.siem.sd_id"),
    ],
)
def test_bad_sinks(tmp_path: Path, sink: str, code: str, path: str) -> None:
    assert (code, path) in problems_of(tmp_path, sink)
