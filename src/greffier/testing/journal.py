"""Looks into a running platform's journal from outside, as a test may and nobody else should."""

import json
import time
from pathlib import Path
from typing import Any

from greffier.config.paths import WorkspacePaths
from greffier.storage.journal import SqliteJournalReader

_WAIT_S = 5.0


def records_of(workspace: Path, request_id: str) -> list[dict[str, Any]]:
    """All events of a request, in order."""
    reader = SqliteJournalReader(WorkspacePaths(workspace).journal_db)
    return [json.loads(row.data) for row in reader.find(request_id)]


def outcome_of(workspace: Path, request_id: str) -> dict[str, Any]:
    """The outcome of a request; waits a moment for one whose caller hung up.

    Raises:
        LookupError: There is none.
    """
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for record in records_of(workspace, request_id):
            if record["kind"] == "outcome":
                return record
        time.sleep(0.05)
    raise LookupError(f"no outcome is recorded for {request_id}")
