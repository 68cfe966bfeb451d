"""The desk at which incidents are worked on: opens the register, records each act, says what went wrong."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from greffier.app.recording import operator, record_act
from greffier.app.stores import open_incidents
from greffier.audit.ports import JournalUnavailable
from greffier.cli.incident_view import print_incident
from greffier.cli.output import Exit, fail, print_json
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.governance.incidents.acts import NotPossible
from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.clocks import deadlines
from greffier.governance.incidents.law import incident_law
from greffier.governance.incidents.ports import IncidentChanged, IncidentsUnavailable, NoSuchIncident
from greffier.governance.privacy.ports import NotAllowed, NotFound, PrivacyUnavailable
from greffier.storage.incidents import SqlIncidents


@contextmanager
def desk(workspace: Path, as_json: bool) -> Iterator[tuple[WorkspacePaths, SqlIncidents]]:
    """Open the register, and say what went wrong with its remedy."""
    paths = WorkspacePaths(workspace)
    try:
        register = _open(paths)
        try:
            yield paths, register
        finally:
            register.close()
    except NotPossible as error:
        fail(str(error), error.remedy, as_json=as_json)
    except (NoSuchIncident, NotFound) as error:
        fail(str(error), "List them with 'greffier incident list'.", as_json=as_json)
    except IncidentChanged as error:
        fail(str(error), "Look at it with 'greffier incident show', then try again.", as_json=as_json)
    except NotAllowed as error:
        fail(str(error), "Ask a second person.", as_json=as_json)
    except ConfigError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)
    except (IncidentsUnavailable, PrivacyUnavailable, JournalUnavailable, OSError) as error:
        remedy = "Look at 'greffier db status' and the disk of .greffier."
        fail(str(error), remedy, code=Exit.UNAVAILABLE, as_json=as_json)


def _open(paths: WorkspacePaths) -> SqlIncidents:
    if not paths.settings.is_file():
        raise NotPossible(f"{paths.root} is no workspace", "Name one with --workspace.")
    paths.ensure()
    return open_incidents(paths)


def save(
    paths: WorkspacePaths, register: SqlIncidents, act: str, incident: Incident, now: int, **more: str | int
) -> None:
    """Put the act on record, then the version into the register."""
    record(paths, act, incident, **more)
    register.save(incident, by=operator(paths), at_ms=now)


def record(paths: WorkspacePaths, act: str, incident: Incident, **more: str | int) -> None:
    """The record holds the version's digest, not its text."""
    digest = hashlib.sha256(msgspec.json.encode(incident)).hexdigest()
    details: dict[str, str | int | bool] = {"version": incident.version, "digest": digest, **more}
    for name, category in incident.categories.items():
        details[name] = category.standing
    record_act(paths, act, f"incident:{incident.id}", details=details)


def show(incident: Incident, now: int, *, as_json: bool) -> None:
    """Print a case, with its clocks."""
    if as_json:
        print_json(document(incident, now))
    else:
        print_incident(incident, now)


def document(incident: Incident, now: int) -> dict[str, Any]:
    """A case with its clocks, for scripts."""
    clocks = [msgspec.to_builtins(one) for one in deadlines(incident, incident_law(), now)]
    return {**msgspec.to_builtins(incident), "clocks": clocks}


def moment(text: str, now: int) -> int:
    """A moment as people write it, in milliseconds since the epoch; now where nothing is written.

    Raises:
        NotPossible: It is none, or in the future.
    """
    if not text:
        return now
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotPossible(
            f"{text!r} is not a moment", "Write 2026-11-24T08:00 (UTC) or 2026-11-24T09:00+01:00."
        ) from error
    ms = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)
    if ms > now:
        raise NotPossible(f"{text} is in the future", "Correct the moment.")
    return ms
