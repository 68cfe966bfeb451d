"""The insurer's workspace of examples/, each use case exercised against the running platform."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.cli.main import app
from greffier.governance.documents.render import read
from greffier.testing.peers import Peers
from greffier.testing.platform import Platform

EXAMPLE = Path(__file__).parents[2] / "examples" / "insurance"


@pytest.fixture(scope="module")
def insurer(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    workspace = tmp_path_factory.mktemp("insurance") / "workspace"
    shutil.copytree(EXAMPLE, workspace, ignore=shutil.ignore_patterns(".greffier"))
    environment = {
        "EXTERNAL_BASE_URL": peers.external.base_url,
        "EXTERNAL_API_KEY": "external-key",
        "ONPREM_BASE_URL": peers.onprem.base_url,
    }
    with Platform(workspace, environment) as running:
        yield running


def ask(platform: Platform, key: str, content: str | list[dict[str, Any]]) -> Any:
    body = {"model": "", "messages": [{"role": "user", "content": content}]}
    return platform.request("POST", "/v1/chat/completions", body, key=key)


def test_the_public_assistant_answers_from_the_external_model_without_personal_details(
    insurer: Platform, peers: Peers
) -> None:
    key = insurer.create_key("insurer", "public-assistant")
    answer = ask(insurer, key, "My address is jane.doe@example.org, when do you open? [[say=At nine.]]")
    assert answer.status == 200, answer.body
    assert answer.json["choices"][0]["message"]["content"] == "At nine."
    assert peers.external.requests
    assert "jane.doe" not in str(peers.external.requests[-1].json)


def test_the_claims_assistant_redacts_and_keeps_health_data_in_the_house(insurer: Platform, peers: Peers) -> None:
    key = insurer.create_key("insurer", "claims-assistant", "--group", "claims-handlers")
    answer = ask(insurer, key, "The claimant, IBAN DE89 3704 0044 0532 0130 00, has diabetes. [[say=Noted.]]")
    assert answer.status == 200, answer.body
    assert not peers.external.requests
    assert "3704" not in str(peers.onprem.requests[-1].json)
    stranger = insurer.create_key("insurer", "claims-assistant")
    assert ask(insurer, stranger, "hello").status == 403


def test_the_hr_assistant_never_leaves_the_premises(insurer: Platform, peers: Peers) -> None:
    key = insurer.create_key("people", "hr-assistant", "--group", "employees", "--type", "user")
    assert ask(insurer, key, "How many days of leave do I have? [[say=Thirty.]]").status == 200
    failing = ask(insurer, key, "And next year? [[status=503]]")
    assert failing.status >= 500
    assert not peers.external.requests


@pytest.mark.parametrize("use_case", ["claims-assistant", "hr-assistant"])
def test_pictures_go_to_no_model(insurer: Platform, peers: Peers, use_case: str) -> None:
    tenant, group = {"claims-assistant": ("insurer", "claims-handlers"), "hr-assistant": ("people", "employees")}[
        use_case
    ]
    key = insurer.create_key(tenant, use_case, "--group", group, "--type", "user")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    answer = ask(insurer, key, [{"type": "text", "text": "How much is this?"}, picture])
    assert (answer.status, answer.json["error"]["code"]) == (403, "modality_denied")
    assert not peers.external.requests
    assert not peers.onprem.requests


@pytest.mark.parametrize(("kind", "sections"), [("ropa", 7), ("ropa-processor", 4)])
def test_its_records_of_processing_are_complete_and_name_who_is_meant(
    insurer: Platform, tmp_path: Path, kind: str, sections: int
) -> None:
    file = tmp_path / "record.json"
    line = ["docs", "build", kind, "--format", "json", "-o", str(file), "--workspace", str(insurer.workspace)]
    done = CliRunner().invoke(app, line, env=insurer._environment)
    assert done.exit_code == 0, done.output
    assert read(file.read_bytes()).settled == sections
    assert ("Model Maker Europe Ltd (external, eu)" in file.read_text()) == (kind == "ropa")
    assert "Example Insurance People Services Ltd, 2 Harbour Street" in file.read_text() or kind == "ropa"
