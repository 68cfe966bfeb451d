"""Write the demo workspace that ``greffier init`` starts with."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from greffier.config.paths import WorkspacePaths
from greffier.config.schema import KINDS, json_schema

_DOTTED = {"dot-gitignore": ".gitignore"}  # packaging tools read a real .gitignore as being about the package


def write_demo(folder: Path) -> list[str]:
    """Write the demo workspace into a folder, replacing files of the same names; return the names written."""
    source = files("greffier.config.templates") / "demo"
    written = []
    for name, item in sorted(_walk(source, "")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(item.read_bytes())
        written.append(name)
    paths = WorkspacePaths(folder)
    paths.ensure()
    write_schemas(paths.schemas)
    return written


def write_schemas(folder: Path) -> list[Path]:
    """Write the JSON Schema of every kind of workspace file, for editors; return the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, kind in KINDS.items():
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(json_schema(kind)), indent=2) + b"\n")
        written.append(path)
    return written


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{prefix}{_DOTTED.get(item.name, item.name)}"
        if item.is_dir():
            yield from _walk(item, f"{name}/")
        else:
            yield name, item
