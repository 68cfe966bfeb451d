"""``greffier chat``: talk to a running gateway and see what each stage ruled."""

import json
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from greffier.app.stores import open_reader
from greffier.audit.ports import JournalUnavailable
from greffier.cli.output import Exit, JsonOption, err, fail, out, print_json
from greffier.config.paths import WorkspacePaths
from greffier.core.events import Admission, Outcome, parse

app = typer.Typer()

_TIMEOUT_S = 600
_OK = 200


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S)


def _frames(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            yield json.loads(line[6:])


@app.command("chat")
def chat(
    prompt: Annotated[str, typer.Argument(help="What to say; '-' reads standard input.")],
    *,
    url: Annotated[str | None, typer.Option("--url", help="Gateway; default is the one running here.")] = None,
    key: Annotated[str, typer.Option("--key", envvar="GREFFIER_KEY", help="API key.", show_envvar=True)] = "",
    model: Annotated[str, typer.Option("--model", help="Model name; default is the use case's own.")] = "",
    temperature: Annotated[float, typer.Option("--temperature", help="0 gives the likeliest answer.")] = 0.0,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Show the answer as it comes.")] = True,
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Send one message. With access to the workspace, the rulings of every stage are shown beneath the answer."""
    paths = WorkspacePaths(workspace)
    if url is None:
        address = paths.run / "address"
        if not address.exists():
            fail("no gateway is running for this workspace", "Start it, or name one with --url.", code=Exit.UNAVAILABLE)
        url = address.read_text().strip()
    if not key:
        fail("no API key", "Pass --key, or set GREFFIER_KEY.", code=Exit.USAGE)
    text = sys.stdin.read() if prompt == "-" else prompt
    messages = [{"role": "user", "content": text}]
    body = {"model": model, "messages": messages, "stream": stream and not as_json, "temperature": temperature}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection = _connect(url)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        answer = _show(response, as_json=as_json, stream=stream)
    except (OSError, HTTPException) as error:
        fail(
            f"the gateway at {url} did not answer: {error}",
            "Is it running? 'greffier doctor' tells.",
            code=Exit.UNAVAILABLE,
        )
    finally:
        connection.close()
    request_id = response.headers.get("x-request-id", "")
    rulings = _rulings(paths, request_id)
    if as_json:
        print_json({"request_id": request_id, "status": response.status, "answer": answer, "rulings": rulings})
    else:
        _show_rulings(rulings, request_id)
    if response.status != _OK:
        raise typer.Exit(int(Exit.FAILED))


def _show(response: HTTPResponse, *, as_json: bool, stream: bool) -> Any:
    if response.status != _OK or as_json or not stream:
        answer = _document(response)
        if as_json:
            return answer
        if response.status != _OK:
            found = answer.get("error")
            error = found if isinstance(found, dict) else answer
            code, message = error.get("code", "no answer of a gateway"), error.get("message") or error.get("detail")
            err.print(f"[bold red]{response.status} {code}[/]: {escape(str(message or 'Check --url.'))}")
        else:
            out.print(answer["choices"][0]["message"]["content"], markup=False)
        return answer
    for frame in _frames(response):
        if "error" in frame:
            out.print()
            stopped = frame["error"]
            err.print(f"[bold red]stopped: {stopped.get('code')}[/]: {escape(str(stopped.get('message')))}")
            break
        for choice in frame.get("choices", ()):
            out.print(choice["delta"].get("content") or "", end="", markup=False)
    out.print()
    return None


def _document(response: HTTPResponse) -> dict[str, Any]:
    """The body, if it is a JSON object; whatever else stands between us and the gateway may answer with a page."""
    try:
        document = json.loads(response.read())
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _rulings(paths: WorkspacePaths, request_id: str) -> list[dict[str, Any]]:
    """What the record says; empty when this machine does not hold the journal."""
    try:
        events = [parse(row.data) for row in open_reader(paths).find(request_id)]
    except JournalUnavailable:
        return []
    lines: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Admission | Outcome):
            lines += [
                {"point": r.point, "verdict": r.verdict, "rule": r.rule, "code": r.code, "us": r.us}
                for r in event.rulings
            ]
            lines += [
                {"point": f"{g.stage} finding", "verdict": g.action, "rule": f"{g.detector}:{g.type} x{g.count}"}
                for g in event.guardrails
            ]
    return lines


def _show_rulings(rulings: list[dict[str, Any]], request_id: str) -> None:
    out.print(f"[dim]{request_id}[/]")
    for line in rulings:
        colour = (
            "red" if line["verdict"] in {"deny", "cancelled"} else "green" if line["verdict"] == "allow" else "yellow"
        )
        took = f" [dim]{line['us']} µs[/]" if line.get("us") else ""
        out.print(f"  [{colour}]{line['verdict']:10}[/] {line['point']:26} [dim]{line['rule']}[/]{took}")
