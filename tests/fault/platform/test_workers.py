"""Several workers on one port are one gateway."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from greffier.testing.platform import Platform, eventually

Make = Callable[..., Platform]


def ask_all(platform: Platform, key: str, times: int) -> Counter[tuple[int, str]]:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: platform.chat(key, "hello"), range(times)))
    return Counter((answer.status, "" if answer.status == 200 else answer.code) for answer in answers)


def test_two_workers_are_one_gateway(make: Make, issued: str) -> None:
    platform = make(workers=2, use_case="limits: {requests_per_minute: 60}\n").start()
    with ThreadPoolExecutor(8) as pool:
        health = list(pool.map(lambda _: platform.request("GET", "/healthz").json["worker"], range(60)))
    assert set(health) == {0, 1}

    # The two parts of a ceiling add up to it: 60 and not 120, whoever answers.
    told = ask_all(platform, issued, 120)
    assert set(told) == {(200, ""), (429, "rate_limit_exceeded")}
    assert 30 <= told[200, ""] <= 66  # what refills meanwhile comes on top

    def counted() -> float:
        text = platform.request("GET", "/metrics").body.decode()
        return sum(
            map(float, re.findall(r"^greffier_requests_total\{.*chat_completions.*\} ([0-9.]+)$", text, re.MULTILINE))
        )

    # Each worker's metrics tell of all.
    eventually(lambda: counted() == 120)

    # A withdrawn key is withdrawn everywhere within a second.
    made = platform.command("keys", "create", "--tenant", "acme", "--use-case", "assistant", "--json")
    other = json.loads(made.stdout)
    eventually(lambda: platform.request("GET", "/v1/models", key=other["key"]).status == 200)
    platform.command("keys", "revoke", other["id"])
    time.sleep(0.8)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: platform.request("GET", "/v1/models", key=other["key"]), range(40)))
    assert {answer.code for answer in answers} == {"revoked_api_key"}
