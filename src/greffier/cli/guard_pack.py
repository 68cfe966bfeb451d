"""``greffier guard pack``: make, check and install packs of signatures."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from greffier.cli.config_files import explained, open_signer
from greffier.cli.output import Exit, JsonOption, fail, listing, out, print_json
from greffier.config.bundle import build
from greffier.config.packs import FOLDER, MAX_PACK_BYTES, bounded, newer, pack_files, sign_pack, verified_pack
from greffier.config.paths import WorkspacePaths
from greffier.config.releases import replace_file
from greffier.config.signing import MAX_SIGNATURE_BYTES, public_pem
from greffier.config.workspace import read_sources
from greffier.core.clock import SystemClock
from greffier.core.errors import GreffierError
from greffier.guardrails.signature_packs import SignaturePack, pack_warnings, parse_pack

app = typer.Typer(help="Signed packs of known bad patterns.", no_args_is_help=True)
WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
PackArgument = Annotated[Path, typer.Argument(metavar="PACK", help="The pack, NAME.json.")]


@app.command("sign")
def sign_command(
    *,
    pack: PackArgument,
    key: Annotated[
        Path | None, typer.Option("--key", help="Key file; default is the one 'config sign-key' made.")
    ] = None,
    module: Annotated[Path | None, typer.Option("--pkcs11-module", help="PKCS#11 library of an HSM.")] = None,
    token: Annotated[str, typer.Option("--pkcs11-token", help="Label of the token.")] = "",
    label: Annotated[str, typer.Option("--pkcs11-key", help="Label of the key pair.")] = "",
    pin: Annotated[str, typer.Option("--pkcs11-pin", help="env:NAME or file:PATH.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Sign a pack; writes NAME.sig beside it and prints the public key that workspaces pin."""
    with _told(as_json=as_json), explained(as_json=as_json):
        data = bounded(pack, MAX_PACK_BYTES)
        signer = open_signer(WorkspacePaths(workspace), key, module=module, token=token, label=label, pin=pin)
        replace_file(pack.with_suffix(".sig"), sign_pack(data, signer))
        public = public_pem(signer.public_key_der()).decode()
        parsed = parse_pack(data)
    if as_json:
        print_json({**_facts(parsed), "signature": str(pack.with_suffix(".sig")), "key": public})
        return
    out.print(f"signed: {parsed.name} version {parsed.version}, {len(parsed.signatures)} signatures")
    out.print("\nIn guardrails/*.yaml of a workspace that trusts you:\n", markup=False)
    indented = "\n".join(f"      {line}" for line in public.splitlines())
    out.print(f"signature_packs:\n  {parsed.name}:\n    key: |\n{indented}", markup=False)


@app.command("install")
def install_command(*, pack: PackArgument, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Put a pack, or a newer version of one, into the workspace, if the key that the workspace pins signed it."""
    with _told(as_json=as_json), explained(as_json=as_json):
        data = bounded(pack, MAX_PACK_BYTES)
        signature = bounded(pack.with_suffix(".sig"), MAX_SIGNATURE_BYTES)
        name = parse_pack(data).name
        place = read_sources(workspace)[0].packs.get(name)
        if place is None:
            fail(
                f"the workspace names no signature pack '{name}'",
                "Add it with its maker's key under 'signature_packs' in guardrails/*.yaml.",
                code=Exit.CONFIG,
                as_json=as_json,
            )
        parsed = verified_pack(name, data, signature, place.value.key)
        target, beside = pack_files(workspace, name)
        if target.exists() and not newer(data, bounded(target, MAX_PACK_BYTES)):
            fail(
                f"a newer version of '{name}' than {parsed.version} is installed",
                "Keep it; an older one would bring back what was withdrawn.",
                code=Exit.CONFIG,
                as_json=as_json,
            )
        target.parent.mkdir(exist_ok=True)
        replace_file(beside, signature)  # first: a signature without its pack is refused, never the other way round
        replace_file(target, data)
    if as_json:
        print_json({**_facts(parsed), "installed": str(target)})
        return
    out.print(f"installed: {parsed.name} version {parsed.version}, {len(parsed.signatures)} signatures, in {FOLDER}/")
    out.print("[dim]It takes effect with the next release: greffier config build --sign[/]")


@app.command("list")
def list_command(*, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List the packs of the workspace with their versions."""
    with explained(as_json=as_json):
        packs = build(workspace).content.signature_packs
    if as_json:
        print_json({"packs": [_facts(pack) for pack in packs.values()]})
        return
    if not packs:
        out.print("the workspace has no signature packs")
        return
    table = listing("pack", "version", "issued", "expires", "signatures")
    for pack in packs.values():
        expires = pack.expires or "-"
        if expired(pack):
            expires = f"[yellow]{expires}, expired[/]"
        table.add_row(escape(pack.name), str(pack.version), pack.issued, expires, str(len(pack.signatures)))
    out.print(table)


def expired(pack: SignaturePack) -> bool:
    """Whether its maker promised a newer version by now."""
    return bool(pack_warnings({pack.name: pack}, SystemClock().wall_ms()))


def _facts(pack: SignaturePack) -> dict[str, Any]:
    return {
        "name": pack.name,
        "version": pack.version,
        "issued": pack.issued,
        "expires": pack.expires,
        "expired": expired(pack),
        "signatures": len(pack.signatures),
    }


class _told:  # noqa: N801 - a context manager, named like the one beside it
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, GreffierError):
            fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=self._as_json)
