"""What the records say about an incident in DORA's words: who was affected, how much, for how long.

Failed requests of the use cases concerned are counted between two moments and compared with the thirty days before.
Percentages are rounded up, so that "more than ten" is met by anything above ten.
"""

from collections.abc import Iterator

import msgspec

from greffier.audit.ports import JournalReader
from greffier.audit.verification import CLOCK_STEP_MS, first_at
from greffier.core.events import Admission, Outcome, RequestFacts, parse

BASE_DAYS = 30
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000


class Measured(msgspec.Struct, frozen=True):
    """Counts, and the facts that follow.

    Attributes:
        requests: Requests in the period.
        failed: Those that failed.
        clients: People (or credentials, where callers name nobody) whose requests failed.
        base_requests: Requests of the thirty days before.
        base_clients: People in those days and the period.
        facts: In the words of ``dora_classification.yaml``; what the records cannot tell is left out.
    """

    requests: int
    failed: int
    clients: int
    base_requests: int
    base_clients: int
    facts: dict[str, int]


def measure(reader: JournalReader, use_cases: frozenset[str], from_ms: int, to_ms: int) -> Measured:
    """Count.

    Args:
        reader: The journal.
        use_cases: Those concerned; empty for all.
        from_ms: When it began.
        to_ms: When it ended, or now.

    Raises:
        JournalUnavailable: The journal cannot be read.
        ValueError: It ended before it began.
    """
    if to_ms <= from_ms:
        raise ValueError("the end is not after the beginning")
    everyone: set[str] = set()
    hit: set[str] = set()
    minutes: dict[int, bool] = {}  # minute of the period: whether anything was answered in it
    base = requests = failed = 0
    oldest_ms = from_ms
    for event, who in _outcomes(reader, use_cases, from_ms - BASE_DAYS * _DAY_MS, to_ms):
        everyone.add(who)
        oldest_ms = min(oldest_ms, event.ts)
        if event.ts < from_ms:
            base += 1
            continue
        requests += 1
        minute = (event.ts - from_ms) // _MINUTE_MS
        minutes[minute] = minutes.get(minute, False) or event.outcome == "answered"
        if event.outcome == "failed":
            failed += 1
            hit.add(who)
    stated = {"duration_min": -(-(to_ms - from_ms) // _MINUTE_MS), "clients": len(hit)}
    stated["downtime_min"] = sum(not answered for answered in minutes.values())
    if everyone:
        stated["clients_pct"] = -(-100 * len(hit) // len(everyone))
    if base:  # records may begin later than the thirty days
        stated["transactions_pct"] = -(-100 * failed * -(-(from_ms - oldest_ms) // _DAY_MS) // base)
    return Measured(requests, failed, len(hit), base, len(everyone), stated)


def _outcomes(
    reader: JournalReader, use_cases: frozenset[str], begin_ms: int, end_ms: int
) -> Iterator[tuple[Outcome, str]]:
    """Outcomes of requests that were let in, with who asked."""
    admitted: dict[str, RequestFacts] = {}
    for row in reader.scan(max(first_at(reader, begin_ms - CLOCK_STEP_MS), reader.first())):
        event = parse(row.data)
        if event.ts > end_ms + CLOCK_STEP_MS:
            return
        if isinstance(event, Admission):
            admitted[event.request_id] = event.facts
        elif isinstance(event, Outcome) and begin_ms <= event.ts <= end_ms and event.outcome != "denied":
            facts = admitted.pop(event.request_id, None) or event.facts
            if facts is not None and (not use_cases or facts.use_case in use_cases):
                yield event, facts.end_user_ref or facts.actor
