"""The published description is true: schemathesis tries what it promises and what it forbids."""

from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from greffier.gateway.app import GatewayApp
from greffier.gateway.openapi import openapi_document
from greffier.gateway.routes import OPEN_PATHS, ROUTES
from greffier.testing.asgi import ask
from greffier.testing.pipelines import KEY, ScriptedHealth, scripted_pipelines

app = GatewayApp(scripted_pipelines(), ScriptedHealth())
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_conform(case: Any) -> None:
    case.call_and_validate(
        headers={"authorization": f"Bearer {KEY}"},
        checks=[
            schemathesis.checks.not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
            negative_data_rejection,
        ],
    )


def test_every_route_is_described_and_nothing_else() -> None:
    paths = set(msgspec.json.decode(openapi_document())["paths"])
    parametric = {"/v1/models/{model}", "/v1/reviews/{review}"}
    assert paths == set(ROUTES) | parametric | OPEN_PATHS - {"/metrics", "/openapi.json"}


async def test_the_document_needs_no_key() -> None:
    reply = await ask(app, "GET", "/openapi.json")
    assert reply.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_open_paths_answer_get_only(method: str) -> None:
    for path in OPEN_PATHS:
        assert (await ask(app, method, path)).status == 405
