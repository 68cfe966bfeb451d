"""The folder that answers a data subject: the data for programs, and the same as a letter on a page and as PDF."""

import hashlib
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from greffier.cli.output import err
from greffier.governance.privacy.letter import as_html, blocks

_PDF = "greffier.adapters.documents.letter"  # its library is an extra


def write_answer(folder: Path, answer: dict[str, Any], timezone: str) -> dict[str, Any]:
    """Write the answer, readable by its owner only.

    Returns:
        What the confirmation says of it: the digest of ``answer.json``, and how many items each store had.
    """
    files = {
        "answer.json": (json.dumps(answer, ensure_ascii=False, indent=2) + "\n").encode(),
        "answer.html": as_html(answer, timezone).encode(),
    }
    try:
        pdf = import_module(_PDF)
    except ImportError:  # the page can be printed instead
        err.print("answer.pdf is not written: PDF needs the extra 'documents' (pip install 'greffier[documents]')")
    else:
        files["answer.pdf"] = cast("bytes", pdf.letter_pdf(blocks(answer, timezone)))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, data in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    data = answer.get("data", {"content": answer.get("content", [])})
    items = {store: len(found) for store, found in data.items()}
    return {"answer": hashlib.sha256(files["answer.json"]).hexdigest(), "items": items}
