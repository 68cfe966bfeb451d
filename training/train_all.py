"""Trains all learned detectors: ``python training/train_all.py --data DIR`` writes the same bytes on every run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread: sums in one order, so the files are byte-identical
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import train_injection
import train_language
import train_names
import train_toxicity
import wordings

from greffier.guardrails.detectors.learned.model_files import MODELS, SUMS


def save(name: str, arrays: dict[str, npt.NDArray[Any]], folder: Path) -> None:
    """Write a model file and its line in the list of digests."""
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    lines = sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.glob("*.npz"))
    )
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="ascii")
    print(name, (folder / f"{name}.npz").stat().st_size, "bytes")


TRAINERS = {
    "injection": lambda data: train_injection.train(data)[0],
    "language": train_language.train,
    "names": train_names.train,
    "toxicity": train_toxicity.train,
    "toxicity_words": wordings.train_toxicity,
    "disallowed": wordings.train_disallowed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with injection.jsonl, pii.jsonl and the others"
    )
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--only", choices=sorted(TRAINERS), action="append")
    options = parser.parse_args()
    for name in options.only or sorted(TRAINERS):
        save(name, TRAINERS[name](options.data), options.out)


if __name__ == "__main__":
    main()
