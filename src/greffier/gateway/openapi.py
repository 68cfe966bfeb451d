"""``/openapi.json``: OpenAPI 3.1 of the gateway's own surface, generated from the types that decode and encode it."""

from functools import cache
from typing import Any

import msgspec

import greffier
from greffier.core.errors import REFUSALS, Code
from greffier.gateway.wire.chat_answer import LegacyCompletion, WireCompletion
from greffier.gateway.wire.chat_request import WireChat
from greffier.gateway.wire.embeddings import WireEmbeddings
from greffier.gateway.wire.legacy_request import WireLegacy
from greffier.gateway.wire.messages_request import WireMessages
from greffier.gateway.wire.moderations import WireModerations
from greffier.gateway.wire.responses_request import WireResponses
from greffier.guardrails.check import CheckRequest
from greffier.pipeline.asks import FeedbackRequest

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_MODULES = "greffier.gateway.wire."

_OBJECT: Json = {"type": "object"}
_ERRORS: dict[str, Json] = {
    "openai": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code", "request_id"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"$ref": "#/components/schemas/Code"},
                    "rule": {"type": "string"},
                    "request_id": {"type": "string"},
                },
            }
        },
    },
    "anthropic": {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "details": _OBJECT},
            },
            "request_id": {"type": "string"},
        },
    },
    "problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"$ref": "#/components/schemas/Code"},
            "request_id": {"type": "string"},
        },
    },
}
_ERROR_NAMES = {"openai": "OpenAIError", "anthropic": "AnthropicError", "problem": "Problem"}


class _Operation(msgspec.Struct, frozen=True):
    """One operation: what goes in, what comes out, in which dialect refusals are."""

    summary: str
    request: type | None
    answer: type | Json
    dialect: str = "openai"
    stream: bool = False


_EVENT: Json = {  # one server-sent event; data is JSON as text, or [DONE]
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
_EMBEDDINGS: Json = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": _OBJECT},
        "model": {"type": "string"},
    },
}
_LIST: Json = {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": _OBJECT}}}
_REVIEW: Json = {
    "type": "object",
    "required": ["id", "object", "status", "code", "opened_ms", "deadline_ms", "used"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "review"},
        "status": {"enum": ["pending", "approved", "rejected", "expired"]},
        "code": {"enum": ["escalated", "approval_required"]},
        "opened_ms": {"type": "integer"},
        "deadline_ms": {"type": "integer"},
        "decided_ms": {"type": "integer"},
        "used": {"type": "boolean"},
    },
}
_CHECKED: Json = {
    "type": "object",
    "required": ["action", "findings"],
    "properties": {
        "action": {"enum": ["allow", "flag", "redact", "block", "escalate"]},
        "findings": {"type": "array", "items": _OBJECT},
        "scores": {"type": ["object", "null"]},
        "redacted_text": {"type": ["string", "null"]},
        "latency_ms": {"type": "number"},
    },
}

_POSTS: dict[str, _Operation] = {
    "/v1/chat/completions": _Operation("OpenAI chat completions", WireChat, WireCompletion, stream=True),
    "/v1/responses": _Operation("OpenAI Responses, stateless", WireResponses, _OBJECT, stream=True),
    "/v1/completions": _Operation("OpenAI completions, legacy", WireLegacy, LegacyCompletion, stream=True),
    "/v1/messages": _Operation("Anthropic Messages", WireMessages, _OBJECT, "anthropic", stream=True),
    "/v1/messages/count_tokens": _Operation("Estimate a prompt's tokens", WireMessages, _OBJECT, "anthropic"),
    "/v1/embeddings": _Operation("OpenAI embeddings", WireEmbeddings, _EMBEDDINGS),
    "/v1/moderations": _Operation("OpenAI moderations, by the use case's own screen", WireModerations, _OBJECT),
    "/v1/guardrails/check": _Operation("Run the guardrails alone", CheckRequest, _CHECKED),
    "/v1/feedback": _Operation("Say what became of an answer", FeedbackRequest, _OBJECT),
}


@cache
def openapi_document() -> bytes:
    """The document, built once."""
    schemas = _schemas()
    paths: dict[str, Json] = {path: {"post": _post(path, operation)} for path, operation in _POSTS.items()}
    paths["/v1/models"] = {"get": _get("Models the caller may use", _LIST, "/v1/models")}
    model: Json = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    paths["/v1/models/{model}"] = {"get": {**_get("One model", _OBJECT, "/v1/models/model"), "parameters": [model]}}
    review: Json = {"name": "review", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    state = _get("What a reviewer decided about a request of the caller's", _REVIEW, "/v1/reviews/review")
    paths["/v1/reviews/{review}"] = {"get": {**state, "parameters": [review]}}
    for path, summary in (("/healthz", "State of the worker"), ("/readyz", "Whether the worker takes requests")):
        paths[path] = {"get": _probe(path, summary)}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Greffier",
            "version": greffier.__version__,
            "description": "Every answer carries x-request-id. Codes are explained in docs/reference/errors.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"api_key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }
    return msgspec.json.encode(document).replace(_MODULES.encode(), b"")


def _schemas() -> Json:
    types = [operation.request for operation in _POSTS.values()] + [WireCompletion, LegacyCompletion]
    _, found = msgspec.json.schema_components([kind for kind in types if kind is not None], ref_template=_REF)
    schemas: Json = {name.removeprefix(_MODULES): schema for name, schema in found.items()}
    schemas["Code"] = {"type": "string", "enum": [code.value for code in Code]}
    schemas |= {_ERROR_NAMES[dialect]: schema for dialect, schema in _ERRORS.items()}
    return schemas


def _schema_of(kind: type | Json) -> Json:
    return kind if isinstance(kind, dict) else {"$ref": _REF.format(name=kind.__name__)}


def _post(path: str, operation: _Operation) -> Json:
    answer: Json = {"application/json": {"schema": _schema_of(operation.answer)}}
    if operation.stream:
        answer["text/event-stream"] = {"schema": _EVENT}
    request = operation.request
    body = {"required": True, "content": {"application/json": {"schema": _schema_of(request or _OBJECT)}}}
    return {
        "operationId": _name(path),
        "summary": operation.summary,
        "requestBody": body,
        "responses": {"200": {"description": "The answer", "content": answer}, **_refusals(operation.dialect)},
    }


def _get(summary: str, answer: Json, path: str) -> Json:
    return {
        "operationId": _name(path),
        "summary": summary,
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": answer}}},
            **_refusals("openai"),
        },
    }


def _probe(path: str, summary: str) -> Json:
    content = {"application/json": {"schema": _OBJECT}}
    answers: Json = {"200": {"description": "Well", "content": content}}
    if path == "/readyz":
        answers["503"] = {"description": "Not ready", "content": content}
    answers["405"] = _refusals("problem")["405"]
    return {"operationId": _name(path), "summary": summary, "security": [], "responses": answers}


def _refusals(dialect: str) -> Json:
    """One entry per status any refusal can have, with the codes behind it."""
    kind = "application/problem+json" if dialect == "problem" else "application/json"
    content = {kind: {"schema": {"$ref": _REF.format(name=_ERROR_NAMES[dialect])}}}
    by_status: dict[int, list[str]] = {}
    for code, refusal in REFUSALS.items():
        by_status.setdefault(refusal.status, []).append(code.value)
    return {
        str(status): {"description": "Refused: " + ", ".join(codes), "content": content}
        for status, codes in sorted(by_status.items())
    }


def _name(path: str) -> str:
    return path.removeprefix("/v1/").strip("/").replace("/", "_")
