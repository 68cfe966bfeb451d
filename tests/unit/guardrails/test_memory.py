import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.guardrails.conftest import SCREEN, TOPICS

from greffier.core.chat import ChatRequest, Message, Role
from greffier.core.context import Grant
from greffier.core.rulings import Allow, Finding
from greffier.guardrails.engine import Engine
from greffier.guardrails.memory import Memory
from greffier.guardrails.ports import DetectorError, Measured, Passage
from greffier.guardrails.screen import Guard, ScreenedInput

LONG = "Please write to jane.doe@example.org about the parcel that came yesterday."


class Counting:
    name = "counting"
    version = "1"

    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[str] = []
        self.fails = fails

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        self.seen.append(passage.text)
        if self.fails:
            raise DetectorError("not today")
        return ()


async def screened(guard: Guard, grant: Grant, *texts: str) -> ScreenedInput:
    messages = tuple(Message("user", text) for text in texts)
    ruling = await guard.screen_input(ChatRequest("m", messages), grant)
    assert isinstance(ruling, Allow)
    return ruling.value


def guard_with(detector: Counting) -> Guard:
    guard = Guard({"default": SCREEN}, TOPICS)
    screen = guard.screen("default")
    screen.engines["input"] = Engine([*screen.engine.detectors, detector])
    return guard


async def test_a_repeated_text_is_measured_once_and_found_the_same(grant: Grant) -> None:
    counting = Counting()
    guard = guard_with(counting)
    first = await screened(guard, grant, LONG)
    again = await screened(guard, grant, LONG, LONG + " Thank you.")
    assert counting.seen.count(LONG) == 1
    assert again.findings[: len(first.findings)] == first.findings
    assert again.request.messages[0] == first.request.messages[0]


async def test_no_tenant_profits_from_what_another_one_sent(grant: Grant) -> None:
    counting = Counting()
    guard = guard_with(counting)
    await screened(guard, grant, LONG)
    await screened(guard, msgspec.structs.replace(grant, tenant="another"), LONG)
    assert counting.seen.count(LONG) == 2


async def test_the_same_words_from_another_place_are_measured_anew(grant: Grant) -> None:
    counting = Counting()
    guard = guard_with(counting)
    for role in ("user", "system"):
        ruling = await guard.screen_input(ChatRequest("m", (Message(role, LONG),)), grant)
        assert isinstance(ruling, Allow)
    assert counting.seen.count(LONG) == 2


def test_what_failed_is_not_kept_and_the_oldest_goes_first() -> None:
    memory = Memory(most=2)
    places = [memory.place("t", Passage(LONG + str(number))) for number in range(3)]
    assert all(places)
    assert memory.place("t", Passage("short")) is None
    one, two, three = (place or b"" for place in places)
    memory.keep(one, Measured((), ("names",)))
    assert memory.recall(one) is None
    memory.keep(one, Measured())
    memory.keep(two, Measured())
    assert memory.recall(one) is not None
    memory.keep(three, Measured())
    assert memory.recall(two) is None
    assert memory.recall(one) is not None


ROLES: list[Role] = ["user", "system", "assistant"]
SAID = [
    LONG,
    LONG + " Thank you.",
    "My card is 4111 1111 1111 1111 and I would like to know what became of my order.",
    "Please write to jane.doe@example.org and to john.roe@example.org about what they ordered.",
    "The patient has diabetes and asks which of the two clinics in town has a free bed.",
    "short",
]


TURNS = st.lists(st.tuples(st.sampled_from(SAID), st.sampled_from(ROLES)), min_size=1, max_size=9)


@given(TURNS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_guard_that_remembers_rules_as_one_that_does_not(
    guard: Guard, grant: Grant, turns: list[tuple[str, Role]]
) -> None:
    request = ChatRequest("m", tuple(Message(role, text) for text, role in turns))
    guard.screen("default").memory = Memory(most=3)  # so small that it forgets as it goes
    first = await guard.screen_input(request, grant)
    again = await guard.screen_input(request, grant)
    nameless = msgspec.structs.replace(grant, tenant="")  # whom nothing is remembered of
    anew = await guard.screen_input(request, nameless)
    assert isinstance(first, Allow)
    assert isinstance(again, Allow)
    assert isinstance(anew, Allow)
    for one in (first.value, again.value):
        assert (one.request, one.findings) == (anew.value.request, anew.value.findings)
        assert (one.data_classes, one.on_premises_only) == (anew.value.data_classes, anew.value.on_premises_only)
