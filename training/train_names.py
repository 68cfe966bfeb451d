"""Trains the tagger of names and addresses, and measures it on the sources it was not trained on."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gazetteer
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from authored import authored
from corpus import attack_texts
from person_corpus import TOWNS, Marked, person_texts
from person_tables import person_tables
from scipy.optimize import minimize

from greffier.guardrails.detectors.learned.name_features import (
    BUCKETS,
    CITY,
    COMMON,
    FAMILY,
    FIRST,
    GIVEN,
    LAST,
    TAGS,
    feature_table,
)
from greffier.guardrails.detectors.learned.text import fold
from greffier.guardrails.detectors.learned.tokens import LOWER_WORD, Gazetteer, hash_word, tokenize
from greffier.guardrails.words import unaccented

PENALTY = 4e-6
MOVE_WEIGHT = 0.5
AUTHORED = 3.0
"""Weight of a word in a text that somebody wrote, against one that was filled in."""
UNKNOWN_SHARE = 0.3
UNKNOWN_WORDS = 0.5
SHORTEST = 4  # letters of a name that is looked for where it is written small
LEAST = (0.5, 0.5)
NO_NAMES = {"benign_document", "benign_commands", "benign_tasks", "benign_trigger_words", "benign_tool_output"}


def read_json(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def read_marked(data: Path) -> list[Marked]:
    """Return all texts with the spans of persons and addresses."""
    texts = []
    for row in read_json(data / "pii.jsonl"):
        spans = tuple((s["start"], s["end"], s["type"]) for s in row["spans"] if s["type"] in {"PERSON", "ADDRESS"})
        texts.append(Marked(row["text"], spans, row["lang"], "pii"))
    for row in read_json(data / "pii_names_ner.jsonl"):
        spans = tuple((s["start"], s["end"], "PERSON") for s in row["spans"] if s["type"] == "PERSON")
        texts.append(Marked(row["text"], spans, row["lang"], "newspapers"))
    texts.extend(
        Marked(row["text"], (), row["lang"], "plain")
        for row in read_json(data / "injection.jsonl")
        if row["category"] in NO_NAMES or row["source"] in {"PolyAI banking77", "ASB agent tasks"}
    )
    # Real prose holds some names nobody marked: of these texts only the words that are no known name teach.
    texts.extend(
        Marked(row["text"], (), row["lang"], "prose")
        for row in read_json(data / "injection.jsonl")
        if row["source"] in {"awesome-chatgpt-prompts", "self-instruct"}
    )
    texts.extend(
        Marked(row["text"].replace("\u241f", ""), (), "en", "plain") for row in read_json(data / "secrets.jsonl")
    )
    texts.extend(Marked(t.text, (), t.lang, "plain") for t in attack_texts() if not t.label)
    texts.extend(
        Marked(text.text, tuple(s for s in text.spans if s[2] in {"PERSON", "ADDRESS"}), text.lang, text.source)
        for text in authored("pii")
    )
    texts.extend(
        Marked(row["text"], (), row["lang"], "words")  # they teach no tag, only which words are written small
        for name in ("toxicity", "disallowed", "injection")
        for row in read_json(data / f"{name}.jsonl")
    )
    texts.extend(person_texts(11, 8, "own-synth"))
    texts.extend(person_tables(13, 500, "own-synth"))
    return texts


def varied(texts: list[Marked], seed: int = 17) -> Iterator[Marked]:
    """Yield the texts, and some of them again as people write in haste: small, without accents, or all large."""
    rng = random.Random(seed)
    for text in texts:
        if text.source == "words":
            continue
        yield text
        own = text.source.startswith("pii") or text.source == "own-synth"
        roll = rng.random() * (1.0 if text.source.startswith("pii_") else 3.0 if own else 12.0)
        if roll < 0.35:
            changed = text.text.lower()
        elif roll < 0.5:
            changed = unaccented(text.text)
        elif roll < 0.6:
            changed = text.text.upper()
        else:
            continue
        if len(changed) == len(text.text):
            yield text._replace(text=changed)


class Prepared:
    """Token features and gold tags of a set of texts."""

    def __init__(self, texts: list[Marked], known: Gazetteer, hide: float, seed: int = 5) -> None:
        rng = random.Random(seed)
        tables, tags, sources, keep = [], [], [], []
        self.sequences: list[npt.NDArray[np.int64]] = []
        for text in texts:
            tokens = tokenize(text.text)
            if not len(tokens):
                continue
            flags = known.look_up(tokens)
            gold = np.zeros(len(tokens), dtype=np.int64)
            for start, end, kind in text.spans:
                inside = np.flatnonzero((tokens.start < end) & (tokens.end > start))
                if not len(inside):
                    continue
                begin = TAGS.index(f"B-{kind}")
                gold[inside] = begin + 1
                gold[inside[0]] = begin
                # A share of the names is made unknown, so that endings and neighbours are learnt too.
                if kind == "PERSON" and rng.random() < hide:
                    flags[inside] &= ~(FIRST | LAST | GIVEN | FAMILY)
            # And a share of the ordinary words: no list holds all of them.
            seldom = (flags & ~COMMON == 0) & (gold == 0) & (tokens.hash % np.uint64(100) < hide * UNKNOWN_WORDS * 100)
            flags[seldom] = 0
            tables.append(feature_table(tokens, flags))
            tags.append(gold)
            self.sequences.append(gold)
            sources += [text.source] * len(tokens)
            # Plain small words far from names teach little: one in five is kept.
            dull = (tokens.shape == LOWER_WORD) & (gold == 0) & (flags == COMMON)
            taught = ~dull | (np.arange(len(tokens)) % 5 == 0)
            if text.source == "prose":
                taught &= ((flags & (FIRST | LAST)) == 0) | ((flags & COMMON) != 0)
            keep.append(taught)
        self.table = np.concatenate(tables)
        self.tags = np.concatenate(tags)
        self.source = np.array(sources)
        self.keep = np.concatenate(keep)


def fit_softmax(
    table: npt.NDArray[np.int64], tags: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], steps: int = 70
) -> tuple[Any, Any]:
    """Multinomial logistic regression over hashed features; returns (buckets x tags) weights and biases."""
    count, width = table.shape
    used, compact = np.unique(table, return_inverse=True)
    X = sp.csr_matrix(
        (np.ones(count * width, dtype=np.float32), compact.reshape(-1), np.arange(0, count * width + 1, width)),
        shape=(count, len(used)),
    )
    transposed = X.T.tocsr()
    gold = np.eye(len(TAGS), dtype=np.float32)[tags]
    share = (weight / weight.sum()).astype(np.float32)[:, None]
    size = len(used) * len(TAGS)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights, bias = flat[:size].reshape(-1, len(TAGS)).astype(np.float32), flat[size:].astype(np.float32)
        raw = X @ weights + bias
        raw -= raw.max(axis=1, keepdims=True)
        exp = np.exp(raw)
        total = exp.sum(axis=1, keepdims=True)
        value = -(share * gold * (raw - np.log(total))).sum() + 0.5 * PENALTY * float(flat[:size] @ flat[:size])
        slope = share * (exp / total - gold)
        gradient = np.empty_like(flat)
        gradient[:size] = (transposed @ slope).ravel() + PENALTY * flat[:size]
        gradient[size:] = slope.sum(axis=0)
        return float(value), gradient

    found = minimize(
        loss, np.zeros(size + len(TAGS)), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 8}
    )
    weights = np.zeros((BUCKETS, len(TAGS)))
    weights[used] = found.x[:size].reshape(-1, len(TAGS))
    return weights, found.x[size:]


def moves(sequences: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
    """Return the log chances of tag following tag, softened; a continuation needs a beginning of its kind."""
    count = np.full((len(TAGS), len(TAGS)), 1.0)
    for tags in sequences:
        np.add.at(count, (tags[:-1], tags[1:]), 1)
    table = MOVE_WEIGHT * (np.log(count / count.sum(axis=1, keepdims=True)) - np.log(count.sum(axis=0) / count.sum()))
    for tag, name in enumerate(TAGS):
        if name[0] == "I":
            for last, before in enumerate(TAGS):
                if before[2:] != name[2:]:
                    table[last, tag] = -50.0
    return table


def source_weight(prepared: Prepared) -> npt.NDArray[np.float64]:
    heavy = {"pii": 1.0, "own-synth": 1.0, "newspapers": 0.4, "plain": 1.0, "prose": 0.5}
    return np.array([heavy.get(name, AUTHORED) for name in prepared.source])


def _small(arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    """Return the given names that are no other word, as they are written small, in one array of UTF-8."""
    known = Gazetteer(arrays["hashes"], arrays["flags"])
    names = {word.lower() for words in gazetteer.listed("given").values() for word in words if len(word) >= SHORTEST}
    sure = {name for name in names if known.flags_of(hash_word(name)) & (GIVEN | COMMON | CITY) == GIVEN}
    return np.frombuffer(" ".join(sorted(sure | {unaccented(name) for name in sure})).encode(), dtype=np.uint8)


def known_names(texts: list[Marked], share: float = 1.0) -> dict[str, npt.NDArray[Any]]:
    """Build the gazetteer, with only a share of the names (to measure what unknown names cost)."""
    first, last = gazetteer.person_names()
    if share < 1.0:
        first = {name for name in first if hash_word(name) % 1000 < share * 1000}
        last = {name for name in last if hash_word(name) % 1000 < share * 1000}
    common = gazetteer.common_words(((t.text, t.spans, t.lang) for t in texts), least=2)
    cities = {fold(t) for towns in TOWNS.values() for town in towns for t in town.split()}
    return gazetteer.build(first, last, common, cities)


def fit(texts: list[Marked], gaz: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Fit the tagger to texts; return the arrays of the model file."""
    prepared = Prepared(list(varied(texts)), Gazetteer(gaz["hashes"], gaz["flags"]), UNKNOWN_SHARE)
    keep = prepared.keep
    weights, bias = fit_softmax(prepared.table[keep], prepared.tags[keep], source_weight(prepared)[keep])
    return {
        **gaz,
        "small": _small(gaz),
        "weights": np.round(weights, 3).astype(np.float16),
        "bias": bias.astype(np.float32),
        "moves": moves(prepared.sequences).astype(np.float32),
        "least": np.array(LEAST, dtype=np.float32),
    }


def train(data: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the model file, trained on everything."""
    texts = read_marked(data)
    return fit(texts, known_names(texts))
