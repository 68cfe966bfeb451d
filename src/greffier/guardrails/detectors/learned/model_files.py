"""Loading of model files: each is checked against the digest that the training script wrote beside it."""

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from greffier.guardrails.ports import DetectorError

MODELS: Final = Path(__file__).parent / "models"
LEXICONS: Final = Path(__file__).parent / "lexicons"
SUMS: Final = "SHA256SUMS"


def load_model(name: str, folder: Path = MODELS) -> tuple[dict[str, npt.NDArray[np.generic]], str]:
    """Return the arrays of a model file and its SHA-256.

    Raises:
        DetectorError: The file is missing, or it is not the one that was trained.
    """
    path = folder / f"{name}.npz"
    try:
        data = path.read_bytes()
        sums = {line.split()[1]: line.split()[0] for line in (folder / SUMS).read_text(encoding="ascii").splitlines()}
    except OSError as error:
        raise DetectorError(f"model file {path.name} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if sums.get(path.name) != digest:
        raise DetectorError(f"model file {path.name} does not have the digest listed in {SUMS}")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}, digest


def insist_on(expected: str, found: str, name: str) -> None:
    """Refuse a model that was trained with other lexicons than the installed ones.

    Raises:
        DetectorError: They differ; the model must be trained again.
    """
    if expected != found:
        raise DetectorError(f"model {name} was trained with other lexicons: run training/train_all.py")
