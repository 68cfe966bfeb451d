"""The folder that answers a data subject: the data for programs, and the same as a letter on a page and as PDF."""

import hashlib
import json
import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from greffier.cli.output import err
from greffier.governance.privacy.letter import Block, as_html, blocks

_PDF = "greffier.adapters.documents.letter"  # its library is an extra


def write_answer(folder: Path, answer: dict[str, Any], timezone: str) -> dict[str, Any]:
    """Write the answer, readable by its owner only.

    Returns:
        What the confirmation says of it: the digest of ``answer.json``, and how many items each store had.
    """
    data = (json.dumps(answer, ensure_ascii=False, indent=2) + "\n").encode()
    _write(folder, {"answer.json": data} | _printed("answer", list(blocks(answer, timezone))))
    stores = answer.get("data", {"content": answer.get("content", [])})
    items = {store: len(found) for store, found in stores.items()}
    return {"answer": hashlib.sha256(data).hexdigest(), "items": items}


def write_letter(folder: Path, letter: Iterable[Block]) -> list[str]:
    """Write a letter to the person, readable by its owner only; return the files' names."""
    files = _printed("letter", list(letter))
    _write(folder, files)
    return list(files)


def _printed(stem: str, letter: list[Block]) -> dict[str, bytes]:
    files = {f"{stem}.html": as_html(letter).encode()}
    try:
        pdf = import_module(_PDF)
    except ImportError:  # the page can be printed instead
        err.print(f"{stem}.pdf is not written: PDF needs the extra 'documents' (pip install 'greffier[documents]')")
    else:
        files[f"{stem}.pdf"] = cast("bytes", pdf.letter_pdf(letter))
    return files


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, data in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
