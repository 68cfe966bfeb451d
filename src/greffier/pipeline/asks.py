"""Requests that are neither conversations nor embeddings, as the surfaces decode them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class ModerationRequest(msgspec.Struct, frozen=True):
    """Texts to measure (OpenAI moderations)."""

    inputs: tuple[str, ...]
    model: str = ""


class FeedbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's verdict on an answer.

    Attributes:
        request_id: The answer's ``x-request-id``.
        rating: From 1 (useless) to 5 (just right).
        outcome: What became of the task.
        edited: Whether the user changed the answer before using it.
        reason: Short code of the caller's own choosing, without personal data; stands on the record.
        comment: Free text; kept apart from the record, encrypted.
    """

    request_id: Annotated[str, Meta(min_length=1, max_length=64)]
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    outcome: Literal["solved", "partly", "unsolved", "harmful"] | None = None
    edited: bool = False
    reason: Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] = ""
    comment: Annotated[str, Meta(max_length=4000)] = ""
