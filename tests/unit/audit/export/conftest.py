"""Events of every kind, as entries."""

import pytest

from greffier.audit.export.entry import Entry
from greffier.testing.siem_events import all_entries


@pytest.fixture(scope="session")
def entries() -> dict[str, Entry]:
    return all_entries()
