"""Compiled pattern sets, handed from one workspace of a test process to the next: each set is compiled once.

Compiling what the default detectors look for takes six seconds of CPU, and nearly every workspace of a test is new.
What is kept bears the digest of its patterns (`guardrails/automata.py`), so that a workspace finds only what it would
have compiled itself.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from greffier.config.paths import WorkspacePaths


def lend(workspace: Path) -> None:
    """Give a workspace what others have compiled."""
    _copy(_kept(), _automata(workspace))


def keep(workspace: Path) -> None:
    """Keep for others what a workspace has compiled."""
    _copy(_automata(workspace), _kept())


def _automata(workspace: Path) -> Path:
    return WorkspacePaths(workspace).run / "automata"


@cache
def _kept() -> Path:
    folder = tempfile.mkdtemp(prefix="greffier-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _copy(source: Path, target: Path) -> None:
    whole = [file for file in source.glob("[!.]*") if not (target / file.name).exists()]
    if whole:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in whole:
        shutil.copyfile(file, target / file.name)
