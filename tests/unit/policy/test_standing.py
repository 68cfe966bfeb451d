"""What people said about their data decides, within a poll, on every request that is about them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.context import Ask, Principal, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.policy.decide import PolicyDecisionPoint
from greffier.policy.settings import Approval, Condition, LawfulBasis, RuleSettings, UseCaseSettings
from greffier.policy.standing import Entry, Kind, LedgerState, LedgerUnavailable, Standing
from greffier.testing.clock import ManualClock

CASE = UseCaseSettings(
    id="claims",
    title="Claims",
    tenant="acme",
    status="approved",
    owner="olga",
    approval=Approval(by=("dora",), on="2026-01-01"),
    purpose="claims",
    intended_purpose="Summarise claims.",
    lawful_basis=LawfulBasis(article_6="6(1)(a)"),
    risk_class="limited",
    data_classes=("public", "personal"),
    models=("chat",),
)
CONSENTED = msgspec.structs.replace(CASE, requires_consent=True)
RULE = RuleSettings(id="all", description="All.", effect="allow", when=Condition())
CONTEXT = RequestContext(
    request_id="r",
    surface="chat_completions",
    principal=Principal("key:k", "service", "api_key", "k"),
    tenant="acme",
    use_case="claims",
    purpose=None,
    received_ms=0,
    started=0.0,
)


class MemoryLedger:
    def __init__(self) -> None:
        self.store = "one"
        self.lines: list[Entry] = []
        self.broken = False

    def enter(self, kind: Kind, *, active: bool = True, subject: str = "ada", **more: str) -> None:
        values = {"tenant": "acme", "purpose": "claims", "origin": ""} | more
        self.lines.append(Entry(number=len(self.lines) + 1, subject=subject, kind=kind, active=active, **values))

    def state(self) -> LedgerState:
        if self.broken:
            raise LedgerUnavailable("broken")
        return LedgerState(self.store, len(self.lines))

    def entries(self, after: int) -> list[Entry]:
        return self.lines[after:]


class House:
    def __init__(self, case: UseCaseSettings = CASE) -> None:
        self.ledger = MemoryLedger()
        self.clock = ManualClock(0)
        self.standing = Standing(self.ledger, self.clock)
        self.policy = PolicyDecisionPoint(
            {"claims": case}, {"claims": "d"}, (RULE,), ("chat",), self.clock, standing=self.standing
        )

    async def code(self, subject: str = "ada", context: RequestContext = CONTEXT, action: str = "chat") -> Code | None:
        await self.standing.refresh()
        ruling = self.policy.authorize(context, Ask(action, "chat", subject=subject))
        return ruling.code if isinstance(ruling, Deny) else None


async def test_an_objection_bars_its_purpose_for_its_person_until_it_is_withdrawn() -> None:
    house = House()
    assert await house.code() is None
    house.ledger.enter("objection")
    assert await house.code() is Code.PROCESSING_OBJECTED
    assert await house.code(subject="bob") is None
    assert await house.code(action="list_models") is None
    house.ledger.enter("objection", active=False)
    assert await house.code() is None
    house.ledger.enter("objection", purpose="marketing")
    assert await house.code() is None
    house.ledger.enter("objection", purpose="")
    assert await house.code() is Code.PROCESSING_OBJECTED


async def test_another_tenants_objection_is_not_ours() -> None:
    house = House()
    house.ledger.enter("objection", tenant="globex")
    assert await house.code() is None


async def test_a_restriction_stands_until_everyone_who_asked_for_it_lifts_it() -> None:
    house = House()
    house.ledger.enter("restriction", purpose="")
    house.ledger.enter("restriction", purpose="", origin="dsr_1")
    house.ledger.enter("restriction", active=False, purpose="", origin="dsr_1")
    assert await house.code() is Code.PROCESSING_RESTRICTED
    house.ledger.enter("restriction", active=False, purpose="")
    assert await house.code() is None


async def test_consent_is_asked_for_where_the_use_case_needs_it() -> None:
    house = House(CONSENTED)
    assert await house.code() is Code.CONSENT_MISSING
    assert await house.code(subject="") is Code.CONSENT_MISSING  # nobody named: nobody can have consented
    house.ledger.enter("consent")
    assert await house.code() is None
    assert await house.code(subject="bob") is Code.CONSENT_MISSING
    house.ledger.enter("consent", active=False)
    assert await house.code() is Code.CONSENT_MISSING


async def test_a_person_who_asks_for_themselves_is_a_subject_too() -> None:
    house = House()
    house.ledger.enter("objection", subject="sub:1")
    person = msgspec.structs.replace(CONTEXT, principal=Principal("sub:1", "user", "oidc", "client:c"))
    assert await house.code("", person) is Code.PROCESSING_OBJECTED
    assert await house.code("bob", person) is Code.PROCESSING_OBJECTED
    service = msgspec.structs.replace(CONTEXT, principal=Principal("sub:1", "service", "oidc", "client:c"))
    assert await house.code("", service) is None


async def test_the_grant_says_whose_data_it_is() -> None:
    house = House()
    await house.standing.refresh()
    ruling = house.policy.authorize(CONTEXT, Ask("chat", "chat", subject="ada"))
    assert isinstance(ruling, Allow)
    assert ruling.value.subject == "ada"


async def test_a_ledger_that_cannot_be_read_for_a_minute_refuses_personal_data_and_nothing_else() -> None:
    for case, code in (
        (CASE, Code.PRIVACY_UNAVAILABLE),
        (msgspec.structs.replace(CASE, data_classes=("public",)), None),
    ):
        house = House(case)
        assert await house.code() is None
        house.ledger.broken = True
        with pytest.raises(LedgerUnavailable):
            await house.standing.refresh()
        house.clock.advance(59)
        assert isinstance(house.policy.authorize(CONTEXT, Ask("chat", "chat")), Allow)
        house.clock.advance(2)
        ruling = house.policy.authorize(CONTEXT, Ask("chat", "chat"))
        assert (ruling.code if isinstance(ruling, Deny) else None) is code


async def test_a_restored_ledger_is_read_from_its_beginning() -> None:
    house = House()
    house.ledger.enter("objection")
    assert await house.code() is Code.PROCESSING_OBJECTED
    house.ledger.store, house.ledger.lines = "two", []
    assert await house.code() is None


_LINES = st.lists(
    st.tuples(
        st.sampled_from(["consent", "objection", "restriction"]),
        st.booleans(),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["claims", ""]),
    ),
    max_size=12,
)


@given(_LINES, st.integers(0, 12))
async def test_reading_in_pieces_gives_what_reading_at_once_gives(
    lines: list[tuple[Kind, bool, str, str]], cut: int
) -> None:
    pieces, whole = House(CONSENTED), House(CONSENTED)
    for index, (kind, active, subject, purpose) in enumerate(lines):
        if index == cut:
            await pieces.standing.refresh()
        for house in (pieces, whole):
            house.ledger.enter(kind, active=active, subject=subject, purpose=purpose)
    for subject in ("ada", "bob"):
        assert await pieces.code(subject) == await whole.code(subject)
    for house in (pieces, whole):
        await house.standing.close()
