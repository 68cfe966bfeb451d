"""Callers who keep asking, plain and streamed, and remember what they were told."""

import http.client
import itertools
import threading
from types import TracebackType
from typing import Self

from greffier.testing.platform import Answer, Platform


class Load:
    """Threads that ask until they are stopped. Each request carries its own ``x-request-id``, ``NAME-N``.

    Attributes:
        answers: The answers that arrived whole, by the caller's own request id.
        broken: Requests whose connection broke or was refused.
    """

    def __init__(self, platform: Platform, key: str, *, callers: int = 6, prompt: str = "", name: str = "load") -> None:
        self._platform = platform
        self._key = key
        self._prompt = prompt
        self._name = name
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]
        self.answers: dict[str, Answer] = {}
        self.broken: set[str] = set()

    def _ask(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            name = f"{self._name}-{number}"
            body = {"stream": number % 2 == 1, "messages": [{"role": "user", "content": f"{self._prompt} ask {name}."}]}
            try:
                answer = self._platform.request(
                    "POST", "/v1/chat/completions", body, key=self._key, headers={"x-request-id": name}, timeout_s=20
                )
            except (OSError, http.client.HTTPException):
                self.broken.add(name)
                self._stop.wait(0.02)
            else:
                self.answers[name] = answer

    @property
    def whole(self) -> dict[str, Answer]:
        """Answers of the model that arrived from beginning to end."""
        return {name: a for name, a in self.answers.items() if a.status == http.client.OK and _is_whole(a)}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _is_whole(answer: Answer) -> bool:
    streamed = answer.headers.get("content-type", "").startswith("text/event-stream")
    return not streamed or answer.body.endswith(b"data: [DONE]\n\n")
