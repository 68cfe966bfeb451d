"""A budget that was used stays used, whatever happens to the processes that counted it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from greffier.testing.platform import Platform, eventually

Make = Callable[..., Platform]

TEN_TOKENS = "[[say=a b c d e f g h i j]] count"  # 1000 micro-units a token: 0.01 each
BUDGET = 'limits: {spend_per_month: "0.10"}\n'


def spend(platform: Platform, key: str, times: int) -> int:
    """Ask in parallel, so that every worker gets its part; return how many were answered; the rest is over budget."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: platform.chat(key, TEN_TOKENS, max_tokens=10), range(times)))
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.code for answer in refused} <= {"budget_exceeded"}
    return len(answers) - len(refused)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_stays_used_through_kill_and_restart(make: Make, workers: int, issued: str) -> None:
    platform = make(workers=workers, use_case=BUDGET)
    answered = 0
    for round_ in range(2):
        platform.start()
        answered += spend(platform, issued, 4 if round_ == 0 else 20)
        platform.kill()
    assert answered == 10 if workers == 1 else 4 <= answered <= 10
    costs = [event.get("cost_micro", 0) for event in platform.records() if event["kind"] == "outcome"]
    assert sum(costs) == answered * 10_000


def test_what_a_call_used_without_anyone_knowing_counts_as_reserved(make: Make, issued: str) -> None:
    platform = make(use_case=BUDGET).start()
    with pytest.raises(TimeoutError):  # the caller hangs up while the model is silent
        platform.request(
            "POST",
            "/v1/chat/completions",
            {"max_tokens": 60, "messages": [{"role": "user", "content": "[[hang]] hello"}]},
            key=issued,
            timeout_s=0.7,
        )
    eventually(lambda: [e for e in platform.records() if e.get("charged_micro") == 60_000] != [])
    platform.kill()
    platform.start()
    assert spend(platform, issued, 10) == 4


def test_a_new_snapshot_counts_nothing_twice(make: Make, issued: str) -> None:
    platform = make(use_case=BUDGET).start()
    assert spend(platform, issued, 5) == 5
    platform.kill()
    platform.start()
    path = platform.workspace / "use_cases" / "assistant.yaml"
    before = platform.request("GET", "/healthz").json["snapshot"]
    path.write_text(path.read_text().replace("title: Assistant", "title: Renamed"))
    eventually(lambda: platform.request("GET", "/healthz").json["snapshot"] != before)
    assert spend(platform, issued, 8) == 5
