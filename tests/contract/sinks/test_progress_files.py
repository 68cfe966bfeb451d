from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.audit.progress import ProgressFile
from greffier.testing.contracts.progress import Opener, ProgressContract


class TestProgressFile(ProgressContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Iterator[Opener]:
        opened: list[ProgressFile] = []

        def open_(sink: str = "siem") -> ProgressFile:
            opened.append(ProgressFile(tmp_path, sink))
            return opened[-1]

        yield open_
        for one in opened:
            one.close()
