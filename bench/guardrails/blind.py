# ruff: noqa: E501 - sentences for the report stand on one line
"""Texts written by people and models that had seen neither the detectors nor the corpora, through the built-in screens.

``python bench/guardrails/blind.py [--folder DIR] [--only PREFIX] [--show]``; needs no data besides `blind/`. Files
ending in ``_a`` have been read since by who mended the detectors, and no weight is trained on them; files ending in
``_b`` and ``_c`` served for nothing but the figure.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training"))

import numpy as np
from authored import authored, context_of
from measure import auc, interval, recall_at, table

from greffier.config.default_screen import default_screen
from greffier.core.chat import ChatRequest
from greffier.guardrails.check import Checker
from greffier.guardrails.detectors.leak import Shingles
from greffier.guardrails.engine import Engine
from greffier.guardrails.ports import Passage
from greffier.guardrails.prompt import Placed
from greffier.guardrails.redaction import Pseudonyms
from greffier.guardrails.registry import DETECTORS
from greffier.guardrails.screen import Guard
from greffier.guardrails.sieve import Sieve
from greffier.guardrails.trial import Trials

FOLDER = Path(__file__).parent / "blind"
TYPES = {
    "injection": frozenset({"prompt_injection", "jailbreak", "indirect_injection", "obfuscation", "prompt_extraction"}),
    "toxicity": frozenset({"toxicity"}),
    "disallowed": frozenset({"disallowed_topic"}),
}
NUMBERS = {"NATIONAL_ID": "NATIONAL_OR_TAX_ID", "TAX_ID": "NATIONAL_OR_TAX_ID"}
"""In half of Europe one number is both, and authors call it by either name."""
ABOUT = """Nine authors (language models, each on its own) who had seen neither the detectors nor the corpora wrote test sets; a label is one
author's. Whoever mended the detectors read the misses of the files `_a`; **no text of the files `_b` and `_c` was seen by anybody who worked on
them** (their figures were), so these rows are the honest ones. No weight is trained on any. Before anything was mended after them, on `_b`:
injection AUC 0.68 and 0.24 recall at 1 %, toxicity 0.77 and 0.57 at 5 %, disallowed 0.60 and 0.17, persons 0.50, addresses 0.71, health 0.39, dates of birth 0.56,
plates 0.63, 10 % of clean texts flagged. One of 177 harmless rows is 0.6 %: recall at 1 % hangs on single rows, so all unseen rows are also given together.
`pii_2_a` was measured before it was read: national and tax ids 0.93, phones 0.92, births 0.90, plates 0.81, passports 0.90, persons 0.85 at a precision
of 0.86, addresses 0.92, health 0.67 at 0.84, e-mail, IBAN and cards 1.00; 17 % of its harmless texts, nearly all look-alikes, were flagged. Then plates beside makes of cars and versions
of four parts were mended after it.

"""
RATES = {"injection": 0.01, "toxicity": 0.05, "disallowed": 0.05}


Scored = list[tuple[int, float]]
"""Label and score of each text."""


def classified(path: Path, subject: str, unseen: Scored, *, show: bool) -> list[list[object]]:
    """Rows on texts that are to be found or not as a whole; scores of an unseen set are added to ``unseen``."""
    trials = Trials(Checker(Guard({"default": default_screen()})))
    types = TYPES[subject]
    rows = list(authored(path.stem, path.parent))
    score, stopped = [], []
    for row in rows:
        verdict = asyncio.run(trials.judge(row.text, context=context_of(row.kind)))
        score.append(verdict.score(types))
        found = any(f.type in types and f.score >= 0.5 for f in verdict.findings)
        stopped.append(verdict.stopped if subject == "injection" else found)
        if show and stopped[-1] != bool(row.label):
            print(f"{path.stem} {row.lang} {row.label} {row.kind} {score[-1]:.2f} {row.text!r}")
    label, scores = np.array([row.label for row in rows]), np.array(score)
    if not path.stem.endswith("_a"):
        unseen += zip(label.tolist(), score, strict=True)
    recall, _ = recall_at(label, scores, RATES[subject])
    lines: list[list[object]] = [
        [path.stem, "AUC", len(rows), auc(label, scores)],
        [path.stem, f"recall at {RATES[subject]:.0%} false positives", int(label.sum()), recall],
    ]
    groups: dict[tuple[int, str], list[bool]] = defaultdict(list)
    for row, hit in zip(rows, stopped, strict=True):
        source = next((part for part in ("doc_", "tool_", "obf_") if row.kind.startswith(part)), "direct")
        for name in ("", row.lang, *([source.strip("_")] if subject == "injection" else [])):
            groups[row.label, name].append(hit)
    return lines + [
        [
            path.stem,
            f"{'found' if wanted else 'false alarms'} {name}".strip(),
            len(hits),
            interval(sum(hits), len(hits)),
        ]
        for (wanted, name), hits in sorted(groups.items(), reverse=True)
    ]


def entities(path: Path, *, show: bool) -> list[list[object]]:
    """Rows on personal data and secrets: typed recall, precision, and clean texts flagged."""
    engine = Engine([make({}) for name, make in DETECTORS.items() if name != "topics"])
    only_secrets = path.stem.startswith("secrets")
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    clean, flagged = 0, 0
    for row in authored(path.stem, path.parent):
        found = [(f.type, f.start, f.end) for f in engine.measure(Passage(text=row.text)).findings if f.type.isupper()]
        if only_secrets:
            found = [item for item in found if item[0] == "SECRET"]
        found = [(NUMBERS.get(kind, kind), start, end) for kind, start, end in found]
        clean += int(not row.spans)
        flagged += int(not row.spans and bool(found))
        for start, end, marked in row.spans:
            kind = NUMBERS.get(marked, marked)
            hit = any(k == kind and min(b, end) - max(a, start) >= (end - start) / 2 for k, a, b in found)
            tally[kind][0] += int(hit)
            tally[kind][1] += 1
            if show and not hit:
                print(f"{path.stem} {row.lang} missed {kind} {row.text[start:end]!r} in {row.text!r}")
        for kind, start, end in found:
            right = any(NUMBERS.get(k, k) == kind and start < b and end > a for a, b, k in row.spans)
            tally[kind][2] += int(right)
            tally[kind][3] += 1
            if show and not right:
                print(f"{path.stem} {row.lang} false {kind} {row.text[start:end]!r} in {row.text!r}")
    lines: list[list[object]] = []
    for kind, (hit, gold, right, total) in sorted(tally.items()):
        lines.append([path.stem, f"{kind} recall", gold, interval(hit, gold)])
        lines.append([path.stem, f"{kind} precision", total, interval(right, total)])
    return [*lines, [path.stem, "clean texts flagged", clean, interval(flagged, clean)]]


def leaks(path: Path, *, show: bool) -> list[list[object]]:
    """Rows on answers that give a known prompt away, or do not."""
    screen = Guard({"default": default_screen()}).screen("default")
    groups: dict[tuple[int, str], list[bool]] = defaultdict(list)
    for row in authored(path.stem, path.parent):
        prompt, answer = (part.strip() for part in row.text.split("⟦|⟧"))
        placed = Placed(ChatRequest(model="assistant", messages=()), canary="", shingles=Shingles(prompt))
        decided = Sieve(screen, "output", "limited", Pseudonyms(), placed).measure(answer, "output")
        hit = any(item.finding.type == "prompt_leak" and item.action == "deny" for item in decided)
        if show and hit != bool(row.label):
            print(f"{path.stem} {row.lang} {row.label} {row.kind} {answer!r}")
        for name in ("", row.kind):
            groups[row.label, name].append(hit)
    return [
        [
            path.stem,
            f"{'leaks' if wanted else 'other answers'} refused {name}".strip(),
            len(hits),
            interval(sum(hits), len(hits)),
        ]
        for (wanted, name), hits in sorted(groups.items(), reverse=True)
    ]


def blind(folder: Path = FOLDER, *, only: str = "", show: bool = False) -> str:
    """The section of the report."""
    rows: list[list[object]] = []
    unseen: dict[str, Scored] = defaultdict(list)
    for path in sorted(folder.glob(f"{only}*.txt")):
        subject = path.stem.split("_")[0]
        if subject in TYPES:
            rows += classified(path, subject, unseen[subject], show=show)
        else:
            rows += {"pii": entities, "secrets": entities, "leak": leaks}[subject](path, show=show)
    for subject, scored in unseen.items():
        if not scored:
            continue
        label, scores = (np.array(part) for part in zip(*scored, strict=True))
        recall, _ = recall_at(label, scores, RATES[subject])
        rows.append([f"{subject}, all unseen", "AUC", len(label), auc(label, scores)])
        rows.append(
            [f"{subject}, all unseen", f"recall at {RATES[subject]:.0%} false positives", int(label.sum()), recall]
        )
    head = "### Texts written blind, built-in screens\n\n"
    return head + ABOUT + table(["file", "measure", "n", "value"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", default="", help="files whose names begin so")
    parser.add_argument("--show", action="store_true", help="print what was missed and what was wrong")
    given = parser.parse_args()
    print(blind(given.folder, only=given.only, show=given.show))
