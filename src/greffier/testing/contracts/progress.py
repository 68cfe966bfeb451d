# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every place must do in which a sink's state is kept. Subclass and give an ``opener`` fixture."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from greffier.audit.progress import Progress, ProgressStore, Rejection

Opener = Callable[..., ProgressStore]
"""Opens the state of a sink (``siem`` unless named) anew, as another gateway would; the fixture closes it."""


class ProgressContract:
    """Run with ``class TestMine(ProgressContract)`` and a fixture ``opener``."""

    def test_a_new_sink_has_no_state(self, opener: Opener) -> None:
        assert opener().load() is None
        assert opener().rejected(10) == []

    def test_what_was_saved_is_there_for_everyone(self, opener: Opener) -> None:
        mine = opener()
        assert mine.hold()
        for cursor in (7, 9):
            mine.save(Progress(cursor=cursor, delivered=cursor, error="größer"))
        assert opener().load() == Progress(cursor=9, delivered=9, error="größer") == mine.load()
        assert opener("other").load() is None

    def test_one_holds_until_it_lets_go(self, opener: Opener) -> None:
        mine, yours = opener(), opener()
        assert mine.hold()
        assert mine.hold()
        assert not yours.hold()
        assert opener("other").hold(), "each sink has a holder of its own"
        mine.close()
        assert yours.hold()

    def test_of_many_who_want_it_one_gets_it(self, opener: Opener) -> None:
        stores = [opener() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda store: store.hold(), stores)).count(True) == 1

    def test_what_was_refused_is_kept_once_with_its_reason(self, opener: Opener) -> None:
        mine = opener()
        assert mine.hold()
        wanted = [
            Rejection(2, "evt_2", "GW-2001", "no such field"),
            Rejection(4, "evt_4", "GW-2001", "größer als erlaubt"),
        ]
        mine.keep_rejected(wanted)
        mine.keep_rejected(wanted)  # the cursor could not be saved, so the batch came again
        mine.keep_rejected([])
        assert opener().rejected(10) == wanted
        assert opener().rejected(1) == wanted[1:]
        assert opener("other").rejected(10) == []
