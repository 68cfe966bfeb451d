"""How often an answer that gives the prompt away is found, and how often one that does not is taken for it.

The prompt is placed as the gateway places it: what it says and its canary are known. A row counts as refused when the
rules of the built-in output screen refuse the answer for a finding ``prompt_leak``.
"""

import json
from collections import Counter
from pathlib import Path

from measure import interval, table

from greffier.config.default_screen import default_screen
from greffier.core.chat import ChatRequest
from greffier.guardrails.detectors.leak import Shingles
from greffier.guardrails.prompt import Placed
from greffier.guardrails.redaction import Pseudonyms
from greffier.guardrails.screen import Guard
from greffier.guardrails.sieve import Sieve


def leaks(data: Path) -> str:
    """Recall by form of the leak, and false alarms by kind of answer."""
    screen = Guard({"default": default_screen()}).screen("default")
    found: Counter[tuple[int, str]] = Counter()
    total: Counter[tuple[int, str]] = Counter()
    for line in (data / "leak.jsonl").read_bytes().split(b"\n")[:-1]:
        row = json.loads(line)
        request = ChatRequest(model="assistant", messages=())
        placed = Placed(request, canary=row["canary"].lower(), shingles=Shingles(row["system_prompt"]))
        sieve = Sieve(screen, "output", "limited", Pseudonyms(), placed)
        decided = sieve.measure(row["text"], "output")
        stopped = any(item.finding.type == "prompt_leak" and item.action == "deny" for item in decided)
        for group in ((row["label"], row["category"]), (row["label"], "")):
            total[group] += 1
            found[group] += stopped
    rows: list[list[object]] = [
        [name or ("all leaks" if label else "all other answers"), count, interval(found[label, name], count)]
        for (label, name), count in sorted(total.items(), reverse=True)
    ]
    head = "### Leaks of a known prompt, built-in output screen\n\n"
    return head + table(["answers", "n", "refused"], rows)
