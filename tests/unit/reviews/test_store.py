"""What the database guarantees about reviews: one decision, in time, by somebody else; one use, of the same request."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from greffier.core.chat import ChatRequest, Message
from greffier.guardrails.reviews import Review, ReviewConflict, ReviewNotFound, digest_of
from greffier.storage.keys import SqliteKeyStore
from greffier.storage.reviews import SqliteReviewStore

REVIEW = Review(
    id="rev_1",
    tenant="acme",
    use_case="claims",
    principal="sub:1234",
    request_id="req_1",
    digest="d" * 64,
    rule="payroll",
    code="escalated",
    opened_ms=1000,
    deadline_ms=2000,
    valid_ms=500,
    parts={"input": "part_1"},
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteReviewStore]:
    store = SqliteReviewStore(tmp_path / "state.db")
    store.open(REVIEW)
    yield store
    store.close()


def approve(store: SqliteReviewStore, now_ms: int = 1500, by: str = "os:rita:1000") -> Review:
    return store.decide("rev_1", "approved", by=by, reason="fine", now_ms=now_ms)


def use(store: SqliteReviewStore, now_ms: int = 1600, digest: str = REVIEW.digest) -> Review:
    return store.use("rev_1", digest, request_id="req_2", now_ms=now_ms)


def test_a_review_comes_back_as_it_was_opened(store: SqliteReviewStore) -> None:
    assert store.get("rev_1") == REVIEW
    assert store.list(undecided=True) == (REVIEW,)
    assert REVIEW.status(1999) == "pending"
    assert REVIEW.status(2000) == "expired"
    with pytest.raises(ReviewNotFound):
        store.get("rev_2")


def test_whoever_asked_cannot_decide(store: SqliteReviewStore) -> None:
    with pytest.raises(ReviewConflict, match="asked"):
        approve(store, by="sub:1234")
    assert store.get("rev_1").decision == ""


def test_a_review_is_decided_once_and_in_time(store: SqliteReviewStore) -> None:
    with pytest.raises(ReviewConflict, match="deadline"):
        approve(store, now_ms=2000)
    assert approve(store).status(1600) == "approved"
    with pytest.raises(ReviewConflict, match="approved by os:rita"):
        store.decide("rev_1", "rejected", by="os:otto:1001", reason="no", now_ms=1600)
    assert store.list(undecided=True) == ()
    assert [review.id for review in store.list()] == ["rev_1"]


def test_an_approval_is_used_once_in_time_and_for_the_same_request(store: SqliteReviewStore) -> None:
    with pytest.raises(ReviewConflict, match="pending"):
        use(store)
    approve(store)
    with pytest.raises(ReviewNotFound):
        use(store, digest="e" * 64)
    with pytest.raises(ReviewConflict, match="expired"):
        use(store, now_ms=2000)
    assert use(store).used_by == "req_2"
    with pytest.raises(ReviewConflict, match="used"):
        use(store)
    assert store.get("rev_1").status(9999) == "approved"  # used in time stays what it was


def test_a_rejected_review_cannot_be_used(store: SqliteReviewStore) -> None:
    store.decide("rev_1", "rejected", by="os:rita:1000", reason="no", now_ms=1500)
    with pytest.raises(ReviewConflict, match="rejected"):
        use(store)


def test_of_many_callers_at_once_one_uses_the_approval(store: SqliteReviewStore, tmp_path: Path) -> None:
    approve(store)
    stores = [SqliteReviewStore(tmp_path / "state.db") for _ in range(4)]
    outcomes: list[str] = []

    def attempt(own: SqliteReviewStore) -> None:
        try:
            outcomes.append(use(own).used_by)
        except ReviewConflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for own in stores:
        own.close()
    assert sorted(outcomes) == ["refused", "refused", "refused", "req_2"]


def test_reviews_and_keys_share_a_file(store: SqliteReviewStore, tmp_path: Path) -> None:
    keys = SqliteKeyStore(tmp_path / "state.db")
    approve(store)
    assert keys.list() == ()
    keys.close()


def test_the_digest_holds_everything_that_was_approved() -> None:
    request = ChatRequest("m", (Message("user", "hello"),))
    known = {digest_of("t", "u", "p", request)}
    for other in (
        ("t2", "u", "p", request),
        ("t", "u2", "p", request),
        ("t", "u", "p2", request),
        ("t", "u", "p", msgspec.structs.replace(request, model="m2")),
        ("t", "u", "p", msgspec.structs.replace(request, messages=(Message("user", "hello "),))),
        ("t", "u", "p", msgspec.structs.replace(request, max_tokens=1)),
        ("t", "u", "p", msgspec.structs.replace(request, params={"temperature": 1})),
    ):
        digest = digest_of(*other)
        assert digest not in known
        known.add(digest)
    assert digest_of("t", "u", "p", msgspec.structs.replace(request)) in known
