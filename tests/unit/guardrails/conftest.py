import pytest

from greffier.core.context import Grant
from greffier.guardrails.screen import Guard
from greffier.guardrails.settings import ScreenRule, ScreenSettings, TopicSettings

SCREEN = ScreenSettings(
    input=(
        ScreenRule(id="attack", types=("prompt_injection", "jailbreak", "indirect_injection"), then="deny"),
        ScreenRule(id="hidden", types=("obfuscation",), at_least=0.8, then="deny"),
        ScreenRule(id="money", types=("CREDIT_CARD", "IBAN", "SECRET"), then="redact"),
        ScreenRule(id="people", types=("EMAIL", "PHONE", "PERSON"), then="pseudonymise"),
        ScreenRule(id="health", types=("HEALTH",), then="on_premises"),
        ScreenRule(id="rivals", types=("topic:rivals",), then="deny", message="We do not discuss competitors."),
        ScreenRule(id="payroll", types=("topic:payroll",), then="escalate"),
        ScreenRule(id="travel", types=("topic:travel",), then="require_approval"),
        ScreenRule(id="rest", types=("*",), then="flag"),
    ),
    output=(
        ScreenRule(id="leak", types=("prompt_leak", "exfiltration"), then="deny"),
        ScreenRule(id="out-secret", types=("SECRET", "CREDIT_CARD"), then="redact"),
        ScreenRule(id="out-mail", types=("EMAIL",), then="redact"),
        ScreenRule(id="out-rivals", types=("topic:rivals",), then="deny"),
    ),
)
TOPICS = {
    "rivals": TopicSettings(
        title="Competitors", terms=("Société Générique", "Acme Bank"), patterns=(r"\bproject\s+zebra\b",)
    ),
    "payroll": TopicSettings(title="Payroll", terms=("salary list",)),
    "travel": TopicSettings(title="Travel", terms=("visa letter",)),
}


@pytest.fixture(scope="session")
def guard() -> Guard:
    return Guard({"default": SCREEN}, TOPICS)


@pytest.fixture
def grant() -> Grant:
    return Grant(
        tenant="acme",
        use_case="claims",
        use_case_digest="",
        purpose="support",
        lawful_basis="6(1)(b)",
        risk_class="limited",
        model="m",
        data_classes=("personal",),
        screen="default",
    )
