"""``greffier operator``: whom the command line knows by their keys, where the system cannot tell people apart."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from greffier.adapters.signers.key_file import create_key_file
from greffier.app.operators import KeyIdentity, identity_of
from greffier.app.recording import operator, record_act
from greffier.cli.config_files import trust_key
from greffier.cli.explained import explained
from greffier.cli.output import JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.paths import WorkspacePaths
from greffier.config.releases import replace_file
from greffier.config.signing import fingerprint, public_pem, trusted_keys

app = typer.Typer(help="Whom the command line knows by their keys.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]


@app.command("new-key")
def new_key(
    file: Annotated[Path, typer.Argument(metavar="PEM", help="Private key to write; the public one stands beside it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key for yourself, on your own machine: the private one, and FILE.pub.pem for whoever trusts it."""
    public = file.with_name(f"{file.stem}.pub.pem")
    with explained(as_json):
        signer = create_key_file(file)
        replace_file(public, public_pem(signer.public_key_der()))
    print_ = fingerprint(signer.public_key_der())
    if as_json:
        print_json({"private": str(file), "public": str(public), "fingerprint": print_})
        return
    out.print(f"private key {escape(str(file))} (yours alone)\npublic key  {escape(str(public))}\nfingerprint {print_}")


@app.command()
def trust(
    key: Annotated[Path, typer.Argument(metavar="PEM", help="The person's public key.")],
    name: Annotated[str, typer.Option("--name", help="Name the person has in records; default is the file's.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Know a person by this key. From the first one on, every act at the command line needs such a key."""
    paths = WorkspacePaths(workspace)
    with explained(as_json):
        named, print_ = trust_key(paths, key, name, folder=paths.operators, action="operator.trust")
    if as_json:
        print_json({"name": named, "fingerprint": print_})
        return
    out.print(f"{escape(named)} is known by the key {print_}")


@app.command("list")
def list_operators(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List the people who are known by their keys."""
    with explained(as_json):
        keys = trusted_keys(WorkspacePaths(workspace).operators)
    rows = [{"name": name, "fingerprint": fingerprint(der)} for name, der in keys.items()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        out.print(f"{row['name']:20} {row['fingerprint']}", markup=False)
    if not rows:
        out.print("nobody; people are who the operating system says has logged in")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="As 'greffier operator list' shows it.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Know a person by their key no more. Without any key left, the operating system's word counts again."""
    paths = WorkspacePaths(workspace)
    with explained(as_json):
        der = trusted_keys(paths.operators).get(name)
        if der is None:
            raise Wrong(f"nobody is known as '{name}'", "See 'greffier operator list'.")
        record_act(paths, "operator.remove", f"key:{fingerprint(der)}", details={"name": name})
        (paths.operators / f"{name}.pem").unlink()
    if as_json:
        print_json({"name": name})
    else:
        out.print(f"{escape(name)} is known no more")


@app.command()
def whoami(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say under which name your acts will stand on record."""
    paths = WorkspacePaths(workspace)
    with explained(as_json):
        found = {
            "name": operator(paths),
            "by": "key" if isinstance(identity_of(paths), KeyIdentity) else "operating system",
        }
    if as_json:
        print_json(found)
    else:
        out.print(found["name"], markup=False)
