from pathlib import Path

import pytest

from greffier.app.retention import purge_once, retention
from greffier.audit.ports import ContentUnavailable
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act, parse
from greffier.storage.content import open_content_store
from greffier.storage.journal import open_reader
from greffier.testing.clock import ManualClock

DAY_S = 86_400
SETTINGS = AuditSettings(content_retention_days=30)


async def test_content_is_deleted_when_its_time_is_over_and_not_before(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path)
    paths.ensure()
    clock = ManualClock(SystemClock().wall_ms())
    assert await purge_once(paths, SETTINGS, clock) == 0
    store = open_content_store(paths)
    kept = await store.put("acme", "req_1", {"prompt": b"p", "answer": b"a"})
    clock.advance(29 * DAY_S)
    assert await purge_once(paths, SETTINGS, clock) == 0
    clock.advance(2 * DAY_S)
    assert await purge_once(paths, SETTINGS, clock) == 2
    with pytest.raises(ContentUnavailable):
        store.get("acme", kept["prompt"][0])
    (act,) = (parse(row.data) for row in open_reader(paths).scan())
    assert isinstance(act, Act)
    assert (act.action, act.details["parts"]) == ("content.purge", 2)


async def test_the_task_ends_with_its_block(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path)
    paths.ensure()
    async with retention(paths, SETTINGS):
        pass
