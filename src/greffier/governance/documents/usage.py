"""Count what the sealed log says about a use case."""

from collections import Counter
from datetime import UTC, datetime

from greffier.audit.ports import JournalReader
from greffier.audit.proofs import Sealed
from greffier.audit.verification import first_at
from greffier.core.events import Admission, Feedback, Outcome, parse
from greffier.governance.documents.sources import Usage


def count(reader: JournalReader, sealed: Sealed, use_case: str, since_ms: int) -> Usage:
    """Counts from ``since_ms`` up to the newest checkpoint; what is not sealed yet is not counted.

    Raises:
        JournalUnavailable: The journal cannot be read.
    """
    head = sealed.checkpoint
    outcomes: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    mine: set[str] = set()
    ratings = 0
    for row in reader.scan(first_at(reader, since_ms)):
        if row.seq > head.size:
            break
        event = parse(row.data)
        if isinstance(event, Admission):
            if event.facts.use_case != use_case:
                continue
            mine.add(event.request_id)
        elif isinstance(event, Outcome):
            own = event.facts is not None and event.facts.use_case == use_case
            if not own and event.request_id not in mine:
                continue
            mine.discard(event.request_id)
            outcomes[event.outcome] += 1
        else:
            ratings += isinstance(event, Feedback) and event.use_case == use_case
            continue
        for line in event.guardrails:
            findings[f"{line.type} {line.action}"] += line.count
    return Usage(
        size=head.size,
        root=head.root.hex(),
        since=_day(since_ms),
        until=_day(head.time_ms),
        answered=outcomes["answered"],
        denied=outcomes["denied"],
        failed=outcomes["failed"],
        cancelled=outcomes["cancelled"],
        findings=dict(sorted(findings.items())),
        ratings=ratings,
    )


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
