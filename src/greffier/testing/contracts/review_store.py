# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every review store must do: one decision, in time, by somebody else; one use, of the same request.

Subclass `ReviewStoreContract` and give it a ``store`` fixture: an empty one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec
import pytest

from greffier.guardrails.reviews import Review, ReviewConflict, ReviewNotFound, ReviewsUnavailable
from greffier.storage.reviews import SqlReviewStore

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


def approve(store: SqlReviewStore, now_ms: int = 1500, by: str = "os:rita:1000") -> Review:
    """Let somebody approve it."""
    return store.decide("rev_1", "approved", by=by, reason="fine", now_ms=now_ms)


def use(store: SqlReviewStore, now_ms: int = 1600, digest: str = REVIEW.digest) -> Review:
    """Use the approval."""
    return store.use("rev_1", digest, request_id="req_2", now_ms=now_ms)


class ReviewStoreContract:
    """Run with ``class TestMyStore(ReviewStoreContract)`` and a fixture ``store``."""

    @pytest.fixture(autouse=True)
    def _opened(self, store: SqlReviewStore) -> None:
        store.open(REVIEW)

    def test_a_review_comes_back_as_it_was_opened(self, store: SqlReviewStore) -> None:
        assert store.get("rev_1") == REVIEW
        assert store.list(undecided=True) == (REVIEW,)
        assert REVIEW.status(1999) == "pending"
        assert REVIEW.status(2000) == "expired"
        with pytest.raises(ReviewNotFound):
            store.get("rev_2")

    def test_several_come_in_one_question(self, store: SqlReviewStore) -> None:
        other = msgspec.structs.replace(REVIEW, id="rev_2", principal="sub:5678")
        store.open(other)
        store.open(msgspec.structs.replace(REVIEW, id="rev_3"))
        decided = approve(store)
        found = {review.id: review for review in store.those(["rev_1", "rev_2", "rev_9"])}
        assert found == {"rev_1": decided, "rev_2": other}
        assert store.those([]) == ()

    def test_whoever_asked_cannot_decide(self, store: SqlReviewStore) -> None:
        with pytest.raises(ReviewConflict, match="asked"):
            approve(store, by="sub:1234")
        assert store.get("rev_1").decision == ""

    def test_a_review_is_decided_once_and_in_time(self, store: SqlReviewStore) -> None:
        with pytest.raises(ReviewConflict, match="deadline"):
            approve(store, now_ms=2000)
        assert approve(store).status(1600) == "approved"
        with pytest.raises(ReviewConflict, match="approved by os:rita"):
            store.decide("rev_1", "rejected", by="os:otto:1001", reason="no", now_ms=1600)
        assert store.list(undecided=True) == ()
        assert [review.id for review in store.list()] == ["rev_1"]

    def test_an_approval_is_used_once_in_time_and_for_the_same_request(self, store: SqlReviewStore) -> None:
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

    def test_a_rejected_review_cannot_be_used(self, store: SqlReviewStore) -> None:
        store.decide("rev_1", "rejected", by="os:rita:1000", reason="no", now_ms=1500)
        with pytest.raises(ReviewConflict, match="rejected"):
            use(store)

    def test_of_many_reviewers_at_once_one_decides(self, store: SqlReviewStore) -> None:
        def attempt(number: int) -> str:
            decision: Literal["approved", "rejected"] = "approved" if number % 2 else "rejected"
            try:
                return store.decide("rev_1", decision, by=f"os:{number}", reason="", now_ms=1500).decided_by
            except ReviewConflict:
                return ""

        with ThreadPoolExecutor(4) as pool:
            deciders = [by for by in pool.map(attempt, range(8)) if by]
        assert deciders == [store.get("rev_1").decided_by]

    def test_of_many_callers_at_once_one_uses_the_approval(self, store: SqlReviewStore) -> None:
        approve(store)

        def attempt(number: int) -> str:
            try:
                return store.use("rev_1", REVIEW.digest, request_id=f"req_{number}", now_ms=1600).used_by
            except ReviewConflict:
                return ""

        with ThreadPoolExecutor(4) as pool:
            users = [by for by in pool.map(attempt, range(8)) if by]
        assert users == [store.get("rev_1").used_by]

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE review SET principal = 'sub:5678'",
            "UPDATE review SET digest = 'e'",
            "UPDATE review SET deadline_ms = 9999",
            "UPDATE review SET decision = 'rejected', decided_by = 'os:otto:1001'",
            "UPDATE review SET decided_by = principal",
            "UPDATE review SET used_by = 'req_3'",
            "DELETE FROM review",
        ],
    )
    def test_what_was_settled_stays_whoever_writes(self, store: SqlReviewStore, change: str) -> None:
        approve(store)
        used = use(store)
        # Refused by a trigger, or before that because the gateway's role has no such right.
        with pytest.raises((ReviewConflict, ReviewsUnavailable)), store.writing() as connection:
            connection.exec_driver_sql(change)
        assert store.get("rev_1") == used

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE review SET decision = 'approved', decided_by = principal, decided_ms = 1500",
            "UPDATE review SET used_by = 'req_3'",
        ],
    )
    def test_what_is_open_is_not_settled_past_the_rules(self, store: SqlReviewStore, change: str) -> None:
        with pytest.raises(ReviewConflict), store.writing() as connection:
            connection.exec_driver_sql(change)
        assert store.get("rev_1") == REVIEW
