"""What an answer is held to besides the detectors: the form its screen asks for, and the conversation it answers."""

from collections.abc import Sequence

from greffier.core.chat import ChatRequest
from greffier.core.rulings import Finding
from greffier.guardrails.detectors.grounding import Grounding
from greffier.guardrails.ports import Passage
from greffier.guardrails.prompt import Placed
from greffier.guardrails.sieve import Extra, Screen
from greffier.guardrails.taint import Taint


def answer_extras(
    screen: Screen, request: ChatRequest, placed: Placed | None, *, windows: bool = False
) -> tuple[Extra, ...]:
    """What else looks at an answer; nothing where the screen asks for nothing.

    Args:
        screen: The screen that screened the request.
        request: As it was let through.
        placed: As the model saw it.
        windows: Whether the answer is examined in windows before it is complete.
    """
    extras: tuple[Extra, ...] = ()
    if screen.watches_arguments and _holds_data(request):
        extras = (Taint(request, placed).examine,)
    if screen.shape is not None:
        extras = (*extras, screen.shape.examine_window if windows else screen.shape.examine)
        grounding = screen.shape.grounding(request, placed)
        if grounding is not None:
            extras = (*extras, _of_answers(grounding))
    return extras


def _holds_data(request: ChatRequest) -> bool:
    """Whether anything but the user and the application speaks in the conversation."""
    return bool(request.tools) or any(message.role in _TOOLS for message in request.messages)


_TOOLS = frozenset({"tool", "function"})


def grounded_in(screen: Screen, sources: Sequence[str]) -> tuple[Extra, ...]:
    """What holds a text to sources that are given one by one."""
    grounding = None if screen.shape is None else screen.shape.grounded_in(sources)
    return () if grounding is None else (_of_answers(grounding),)


def _of_answers(grounding: Grounding) -> Extra:
    def examine(passage: Passage) -> tuple[Finding, ...]:
        return tuple(grounding.examine(passage.text)) if passage.provenance == "output" else ()

    return examine
