from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.audit.progress import ProgressFile, Rejection
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

    def test_of_a_long_file_the_end_is_read(self, opener: Opener) -> None:
        mine = opener()
        assert mine.hold()
        lines = [Rejection(seq, f"evt_{seq}", "GW-2001", "x" * 300) for seq in range(1, 400)]
        mine.keep_rejected(lines)
        assert mine.rejected(3) == lines[-3:]
        assert mine.rejected(1000) == lines
