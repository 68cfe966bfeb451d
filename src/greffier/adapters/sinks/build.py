"""Builds sinks from what the workspace says. Libraries of extras are loaded only where a sink needs them."""

import os
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from greffier.adapters.http import BadHeader, BadUrl, HttpClient, Origin, tls_context
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.adapters.sinks.elastic import ElasticSink
from greffier.adapters.sinks.file import FileSink
from greffier.adapters.sinks.splunk import SplunkSink
from greffier.adapters.sinks.syslog import SyslogSink
from greffier.audit.export.entry import Entry
from greffier.audit.export.formats import JSON_FORMATS, WRITERS, Format
from greffier.audit.export.rfc5424 import Header, to_syslog
from greffier.audit.sink_settings import SinkSettings
from greffier.audit.sinks import Sink, Writer
from greffier.core.deployment import Timeouts
from greffier.core.errors import Code, GreffierError

_EXTRAS = {"otlp": "", "kafka": "kafka", "nats": "nats"}
_PART = 0.9  # a sink gives up before its shipper does, so that it says why
_SYSLOG_PORT = 6514  # RFC 5425 section 4.1


class BadSink(GreffierError):  # noqa: N818 - named for the condition; the start stops on it
    """A sink cannot be built. The message names the sink and the field, never a value of a secret."""

    def __init__(self, name: str, reason: str, remedy: str) -> None:
        super().__init__(Code.INVALID_REQUEST, f"sink '{name}': {reason}", remedy)


def build_sink(name: str, settings: SinkSettings, root: Path) -> tuple[Sink, Writer]:
    """Build a sink and the writer of its format. Opens no connection.

    Args:
        name: The sink's name in the workspace.
        settings: What the workspace says about it.
        root: Where relative file references start: the workspace.

    Raises:
        BadSink: A secret, certificate or library is missing, or a field is wrong or lacking.
    """
    try:
        return _build(name, settings, root), writer_of(settings)
    except SecretMissing as error:
        raise BadSink(name, str(error), "Set it before the start, or correct the reference.") from None
    except (BadUrl, ValueError) as error:
        reason = "'secret' holds what cannot stand in a header" if isinstance(error, BadHeader) else str(error)
        raise BadSink(name, reason, "Correct 'url' or 'secret'.") from None
    except ImportError as error:
        extra = _EXTRAS.get(settings.kind, "")
        raise BadSink(name, f"the library '{error.name}' is missing", f"pip install 'greffier[{extra}]'") from None
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise BadSink(name, f"a TLS file{where} cannot be used: {error.strerror or error}", "Correct 'tls'.") from None


def writer_of(settings: SinkSettings) -> Writer:
    """What writes events in a sink's format; over syslog the format is that of the message inside."""
    format_ = _format(settings)
    if settings.kind == "syslog" or settings.format == "rfc5424":
        header = Header(hostname=socket.gethostname(), process=os.getpid(), sd_id=settings.sd_id)
        return partial(_framed, header, WRITERS[format_])
    return WRITERS[format_]


def _framed(header: Header, body: Writer, entry: Entry) -> bytes:
    return to_syslog(entry, header, body(entry))


def _format(settings: SinkSettings) -> Format:
    if settings.format is None or settings.format == "rfc5424":
        return "ecs" if settings.kind == "elastic" else "ocsf"
    return settings.format


def _build(name: str, settings: SinkSettings, root: Path) -> Sink:  # noqa: PLR0911 - one return per kind
    secret = resolve_secret(settings.secret, root) if settings.secret else ""
    match settings.kind:
        case "file":
            if not settings.path:
                raise BadSink(name, "'path' is missing", "Add the path of the file.")
            return FileSink(
                root / settings.path,
                rotate_bytes=settings.rotate_bytes,
                rotate_after_s=settings.rotate_after_s,
                keep=settings.keep_files,
            )
        case "splunk_hec":
            is_json = settings.format != "rfc5424" and _format(settings) in JSON_FORMATS
            label = settings.format or "ocsf"
            return SplunkSink(_client(name, settings, root), secret, label, is_json=is_json)
        case "elastic":
            return ElasticSink(_client(name, settings, root), _topic(name, settings), secret)
        case "otlp":
            module = import_module("greffier.adapters.sinks.otlp")
            return cast("Sink", module.OtlpSink(_client(name, settings, root), secret, settings.format or "ocsf"))
        case "syslog":
            (host, port), *_ = _servers(name, settings, _SYSLOG_PORT)
            return SyslogSink(host, port, _tls(settings, root))
        case "kafka":
            servers = [f"{host}:{port}" for host, port in _servers(name, settings, 9093)]
            module = import_module("greffier.adapters.sinks.kafka")
            tls, timeout_s = _tls(settings, root), settings.timeout_s * _PART
            return cast("Sink", module.KafkaSink(servers, _topic(name, settings), tls, timeout_s=timeout_s))
        case "nats":
            scheme = "tls" if _scheme(settings) == "tls" else "nats"
            urls = [f"{scheme}://{host}:{port}" for host, port in _servers(name, settings, 4222)]
            module = import_module("greffier.adapters.sinks.nats")
            return cast("Sink", module.NatsSink(urls, _topic(name, settings), secret, _tls(settings, root)))


def _topic(name: str, settings: SinkSettings) -> str:
    if not settings.topic:
        raise BadSink(name, "'topic' is missing", "Add the topic, subject or index.")
    return settings.topic


def _url(settings: SinkSettings) -> str:
    if settings.url is None:
        raise BadUrl("'url' is missing")
    return resolve_value(settings.url)


def _scheme(settings: SinkSettings) -> str:
    return urlsplit(_url(settings)).scheme


def _servers(name: str, settings: SinkSettings, port: int) -> Sequence[tuple[str, int]]:
    """Hosts and ports of ``tls://a:1,b:2``."""
    scheme, _, rest = _url(settings).partition("://")
    found = [urlsplit(f"//{part}") for part in rest.split(",")]
    if scheme not in {"tls", "tcp"} or not all(part.hostname and not part.path.strip("/") for part in found):
        raise BadSink(name, "'url' is not of the form tls://HOST:PORT", "Correct 'url'.")
    hosts = [(part.hostname or "", part.port or port) for part in found]
    if scheme == "tcp" and not all(host in {"localhost", "127.0.0.1", "::1"} for host, _ in hosts):
        raise BadSink(name, "evidence would leave this machine unencrypted", "Use tls://.")
    return hosts


def _client(name: str, settings: SinkSettings, root: Path) -> HttpClient:
    origin = Origin.parse(_url(settings))
    if origin.scheme == "http" and origin.host not in {"localhost", "127.0.0.1", "::1"}:
        raise BadSink(name, "evidence would leave this machine unencrypted", "Use https://.")
    tls = _context(settings, root) if origin.scheme == "https" else None
    timeouts = Timeouts(connect_s=5.0, first_token_s=settings.timeout_s, total_s=settings.timeout_s)
    return HttpClient(origin, tls=tls, timeouts=timeouts, max_connections=2)


def _tls(settings: SinkSettings, root: Path) -> ssl.SSLContext | None:
    if _scheme(settings) != "tls":
        return None
    context = _context(settings, root)
    context.set_alpn_protocols([])  # these protocols have none
    return context


def _context(settings: SinkSettings, root: Path) -> ssl.SSLContext:
    tls = settings.tls
    return tls_context(
        str(root / tls.ca_file) if tls.ca_file else None,
        str(root / tls.client_cert_file) if tls.client_cert_file else None,
        resolve_secret(tls.client_key, root) if tls.client_key else None,
    )
