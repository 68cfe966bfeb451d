from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.identity.claims import Pseudonyms, TokenHolder, claim, names, read_holder
from greffier.identity.settings import IssuerSettings, UseCaseMapping

PSEUDONYMS = Pseudonyms(bytes(range(32)))
CLAIMS: dict[str, Any] = {"sub": "alice", "client_id": "app", "scope": "invoke read"}


def read(settings: IssuerSettings, **changes: Any) -> TokenHolder | Deny:
    ruling = read_holder(CLAIMS | changes, "acme", settings, 1, PSEUDONYMS)
    return ruling.value if isinstance(ruling, Allow) else ruling


@pytest.fixture
def settings(settings: IssuerSettings) -> IssuerSettings:
    return msgspec.structs.replace(
        settings, use_cases=(UseCaseMapping(claim="client_id", equals="app", use_case="claims"),)
    )


def holder(settings: IssuerSettings, **changes: Any) -> TokenHolder:
    read_value = read(settings, **changes)
    assert isinstance(read_value, TokenHolder), read_value
    return read_value


def refusal(settings: IssuerSettings, **changes: Any) -> Deny:
    read_value = read(settings, **changes)
    assert isinstance(read_value, Deny)
    return read_value


def mapped(settings: IssuerSettings, *rules: tuple[str, str, str]) -> IssuerSettings:
    mappings = tuple(UseCaseMapping(claim=name, equals=equals, use_case=use_case) for name, equals, use_case in rules)
    return msgspec.structs.replace(settings, use_cases=mappings)


def test_no_mapping_no_use_case(settings: IssuerSettings) -> None:
    assert refusal(settings, client_id="another").code is Code.TOKEN_NOT_MAPPED
    assert refusal(msgspec.structs.replace(settings, use_cases=())).code is Code.TOKEN_NOT_MAPPED


def test_the_first_mapping_that_fits_decides(settings: IssuerSettings) -> None:
    both = mapped(settings, ("groups", "hr", "hr-assistant"), ("client_id", "app", "claims"))
    assert holder(both, groups=["hr"]).use_case == "hr-assistant"
    assert holder(both, groups=["other"]).use_case == "claims"


@pytest.mark.parametrize(
    "value", ["hr-assistants", ["hr-assistants"], "h", ["h", "r"], {"hr": 1}, [["hr"]], 1, True, None]
)
def test_a_mapping_needs_equality_not_likeness(settings: IssuerSettings, value: Any) -> None:
    rules = mapped(settings, ("team", "hr", "hr-assistant"))
    assert refusal(rules, team=value).code is Code.TOKEN_NOT_MAPPED


def test_scopes_are_words(settings: IssuerSettings) -> None:
    rules = mapped(settings, ("scope", "use:hr", "hr-assistant"))
    assert holder(rules, scope="openid use:hr").use_case == "hr-assistant"
    assert refusal(rules, scope="openid use:hr2").code is Code.TOKEN_NOT_MAPPED
    assert refusal(mapped(settings, ("team", "hr", "x")), team="hr other").code is Code.TOKEN_NOT_MAPPED


def test_required_scopes(settings: IssuerSettings) -> None:
    strict = msgspec.structs.replace(settings, required_scopes=("invoke", "read"))
    holder(strict)
    holder(strict, scope=["read", "invoke"])
    holder(strict, scope=None, scp="read invoke")
    for scope in ("invoke", "invoke reads", "", None):
        assert refusal(strict, scope=scope).code is Code.INSUFFICIENT_SCOPE
    assert refusal(strict, scope={"invoke": 1, "read": 1}).code is Code.INVALID_TOKEN


def test_the_client_is_azp_or_else_client_id(settings: IssuerSettings) -> None:
    assert holder(settings).principal.credential_id == "client:app"
    assert holder(settings, azp="browser").principal.credential_id == "client:browser"
    entra = msgspec.structs.replace(settings, client_claim="appid")
    assert holder(entra, appid="app-guid", azp="x").principal.credential_id == "client:app-guid"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "user"),
        ({"sub": "app"}, "service"),
        ({"idtyp": "app"}, "service"),
        ({"gty": "client-credentials"}, "service"),
        ({"idtyp": "user"}, "user"),
    ],
)
def test_people_and_services(settings: IssuerSettings, changes: dict[str, str], kind: str) -> None:
    assert holder(settings, **changes).principal.type == kind


def test_claims_inside_objects(settings: IssuerSettings) -> None:
    keycloak = msgspec.structs.replace(
        settings, roles_claim="realm_access.roles", groups_claim="https://acme.test/groups"
    )
    found = holder(keycloak, realm_access={"roles": ["reader"]}, **{"https://acme.test/groups": ["a", "b"]})
    assert (found.principal.roles, found.principal.groups) == (("reader",), ("a", "b"))
    assert holder(keycloak, realm_access="reader").principal.roles == ()


def test_the_whole_name_of_a_claim_comes_before_its_dots() -> None:
    assert claim({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert claim({"a": {"b": 2}}, "a.b") == 2
    assert claim({"a": {"b": {}}}, "a.b.c.d") is None


@pytest.mark.parametrize("value", [[1], [None], [["a"]], {"a": 1}, 5, True, ["ok", ""], ["a\x00b"], ["x" * 513]])
@pytest.mark.parametrize("name", ["groups", "roles"])
def test_groups_that_are_no_names(settings: IssuerSettings, name: str, value: Any) -> None:
    assert refusal(settings, **{name: value}).code is Code.INVALID_TOKEN


def test_purpose(settings: IssuerSettings) -> None:
    assert holder(settings, purpose="marketing").purpose is None, "a purpose counts only where settings name its claim"
    named = msgspec.structs.replace(settings, purpose_claim="purpose")
    assert holder(named, purpose="claims-handling").purpose == "claims-handling"
    assert holder(named).purpose is None
    assert refusal(named, purpose=["a"]).code is Code.INVALID_TOKEN


def test_attributes_are_the_named_claims_only(settings: IssuerSettings) -> None:
    named = msgspec.structs.replace(settings, attribute_claims={"department": "dept", "site": "address.site"})
    found = holder(named, dept="claims", address={"site": "Wien"}, secret="x")
    assert found.principal.attributes == {"department": "claims", "site": "Wien"}
    assert holder(named, dept=["claims"]).principal.attributes == {}


def test_a_pseudonym_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_pseudonyms_are_stable_and_distinct(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (PSEUDONYMS.subject(*one) == PSEUDONYMS.subject(*two)) is (one == two)


def test_pseudonyms_depend_on_the_key_and_do_not_run_together() -> None:
    assert Pseudonyms(bytes(32)).subject("t", "i", "s") != PSEUDONYMS.subject("t", "i", "s")
    assert PSEUDONYMS.subject("a", "b", "cd") != PSEUDONYMS.subject("a", "bc", "d")


def test_names_of_absent_claims_are_none_at_all() -> None:
    assert names({}, "groups") == ()
    assert names({"groups": "single"}, "groups") == ("single",)
