"""The part of ``greffier.yaml`` about where copies of the evidence go: SIEM, collectors, streams, files."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.settings import SecretRef, Settings, ValueOrEnv

SinkKind = Literal["file", "syslog", "splunk_hec", "elastic", "otlp", "kafka", "nats"]
EventFilter = Annotated[str, Meta(pattern=r"^GW-[0-9]{0,4}$", description="Begin of an event code: GW-4, GW-6001")]


class SinkTlsSettings(Settings, frozen=True, kw_only=True):
    """Trust and client certificate for a sink's server. Verification cannot be switched off."""

    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key: SecretRef | None = None


class SinkSettings(Settings, frozen=True, kw_only=True):
    """One place that gets a copy of every event, at least once, in order.

    ``url``: ``tls://HOST:6514`` (syslog), ``https://...`` (splunk_hec, elastic, otlp), ``tls://HOST:9093,HOST2:9093``
    (kafka), ``tls://HOST:4222`` (nats); ``tcp://`` and ``http://`` only on this machine. ``topic``: Kafka topic, NATS
    subject, Elastic index or data stream. ``path``: file, relative to the workspace. ``secret``: Splunk token, Elastic
    API key, bearer token for OTLP, or NATS token. ``events``: begins of the event codes to send; all when empty.
    ``on_start``: what happens when the sink is out of reach at the start: ``refuse`` the start, or ``warn`` and go on.
    ``begin``: whether a new sink first gets what is already in the journal. ``sd_id``: name and IANA enterprise number
    of the structured data in syslog. ``rotate_*`` and ``keep_files`` are for files.
    """

    kind: SinkKind
    format: Literal["ocsf", "ecs", "cef", "rfc5424"] | None = None
    url: ValueOrEnv | None = None
    path: str | None = None
    topic: str | None = None
    secret: SecretRef | None = None
    tls: SinkTlsSettings = SinkTlsSettings()
    events: tuple[EventFilter, ...] = ()
    at_least: Literal["informational", "low", "medium", "high", "critical"] = "informational"
    on_start: Literal["refuse", "warn"] = "refuse"
    begin: Literal["beginning", "now"] = "beginning"
    batch: Annotated[int, Meta(ge=1, le=5000)] = 500
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    checkpoint_every_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    sd_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,16}@[0-9]{1,10}$")] = "greffier@32473"
    rotate_bytes: Annotated[int, Meta(ge=1024)] = 104_857_600
    rotate_after_s: Annotated[int, Meta(ge=1)] = 86_400
    keep_files: Annotated[int, Meta(ge=1, le=100_000)] = 30
