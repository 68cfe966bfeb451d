"""A sink that sends OpenTelemetry log records over OTLP/HTTP (opentelemetry-proto 1.x, protobuf encoding)."""

import time
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

import greffier
from greffier.adapters.http import HttpClient
from greffier.adapters.sinks.web import Answer, Post, shown
from greffier.audit.export.codes import Severity
from greffier.audit.sinks import Parcel, SinkRejected, SinkUnavailable

_OK = 200
_BAD_REQUEST = 400
_NS_PER_MS = 1_000_000
_SEVERITIES = {
    Severity.INFORMATIONAL: SeverityNumber.SEVERITY_NUMBER_INFO,
    Severity.LOW: SeverityNumber.SEVERITY_NUMBER_INFO2,
    Severity.MEDIUM: SeverityNumber.SEVERITY_NUMBER_WARN,
    Severity.HIGH: SeverityNumber.SEVERITY_NUMBER_ERROR,
    Severity.CRITICAL: SeverityNumber.SEVERITY_NUMBER_FATAL,
}


class OtlpSink:
    """Posts batches to ``/v1/logs``; the event stands in the body, its code is the event name.

    Args:
        client: For the collector's origin; closed with the sink.
        secret: Bearer token, or empty.
        format_: Format of the bodies.
    """

    def __init__(self, client: HttpClient, secret: str, format_: str) -> None:
        headers = [("content-type", "application/x-protobuf")]
        if secret:
            headers.append(("authorization", f"Bearer {secret}"))
        self._client = client
        self._logs = Post(client, "POST", "/v1/logs", headers)
        self._format = format_

    async def probe(self) -> None:
        """See `Sink.probe`: an empty request is a valid one (OTLP specification, "Empty telemetry envelopes")."""
        self._read(await self._logs(ExportLogsServiceRequest().SerializeToString()))

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`. A collector says how many records it refuses for good, not which: those are searched for."""
        refused = await self._refused(parcels)
        if not refused:
            return
        if len(parcels) > 1:
            reasons: dict[str, str] = {}
            for parcel in parcels:
                if why := await self._refused([parcel]):
                    reasons[parcel.id] = why
            if reasons:
                raise SinkRejected(reasons)
            return
        raise SinkRejected({parcels[0].id: refused})

    async def _refused(self, parcels: Sequence[Parcel]) -> str:
        """Why the collector does not take all of them, ever; empty when it did."""
        answer = await self._logs(self._request(parcels).SerializeToString())
        if answer.status == _BAD_REQUEST:
            return "the collector calls it malformed"
        told = self._read(answer)
        if not told.partial_success.rejected_log_records:
            return ""
        return shown(told.partial_success.error_message) or "refused"

    @staticmethod
    def _read(answer: Answer) -> ExportLogsServiceResponse:
        if answer.status != _OK:
            raise SinkUnavailable(f"the collector answered {answer.status}")
        told = ExportLogsServiceResponse()
        try:
            told.ParseFromString(answer.body)
        except DecodeError as error:
            raise SinkUnavailable("what answered is not an OTLP collector") from error
        return told

    def _request(self, parcels: Sequence[Parcel]) -> ExportLogsServiceRequest:
        request = ExportLogsServiceRequest()
        logs = request.resource_logs.add()
        logs.resource.attributes.extend(
            [_text("service.name", "greffier"), _text("service.version", greffier.__version__)]
        )
        scope = logs.scope_logs.add()
        scope.scope.name = "greffier.audit"
        for parcel in parcels:
            record = scope.log_records.add()
            record.time_unix_nano = parcel.time_ms * _NS_PER_MS
            record.observed_time_unix_nano = time.time_ns()
            record.severity_number = _SEVERITIES[Severity(parcel.severity)]
            record.severity_text = Severity(parcel.severity).name
            record.event_name = parcel.code
            record.body.string_value = parcel.data.decode()
            record.attributes.extend(
                [
                    _text("greffier.event.id", parcel.id),
                    _text("greffier.event.format", self._format),
                    _text("greffier.tenant", parcel.key),
                    KeyValue(key="greffier.audit.seq", value=AnyValue(int_value=parcel.seq)),
                ]
            )
        return request

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._client.close()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
