"""The screen that every use case gets unless it names another; a workspace replaces it by defining ``default``."""

from greffier.guardrails.settings import ScreenRule, ScreenSettings

_DETECTORS = (
    *("identifiers", "secrets", "injection", "leak", "health"),
    *("injection_model", "names", "toxicity", "disallowed"),  # trained; bench/guardrails has their figures
)
_ATTACKS = ("prompt_injection", "jailbreak", "indirect_injection")
_HARM = ("toxicity", "disallowed_topic")
_SPECIAL = ("HEALTH", "RELIGION", "UNION", "ORIENTATION", "POLITICS", "ETHNICITY", "BIOMETRIC")  # GDPR Art. 9
_PERSONAL = (
    "PERSON",
    "EMAIL",
    "PHONE",
    "IBAN",
    "NATIONAL_ID",
    "TAX_ID",
    "PASSPORT",
    "ADDRESS",
    "DATE_OF_BIRTH",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "LICENSE_PLATE",
)


def default_screen() -> ScreenSettings:
    """Return the built-in screen.

    Payment cards and secrets are redacted, attacks are refused, special categories of personal data (health,
    religion...) stay on premises, and addresses that would carry data out are taken from answers. Personal identifiers
    are flagged, not removed: what an assistant may see is the use case's own decision, and a workspace that wants them
    redacted says so in a screen of its own.
    """
    return ScreenSettings(
        title="Built-in default",
        detectors=_DETECTORS,
        input=(
            ScreenRule(
                id="default-injection",
                types=_ATTACKS,
                at_least=0.7,  # rules score 0.7 to 0.92 where they are certain
                then="deny",
                message="The text tries to override the instructions of this service.",
            ),
            ScreenRule(
                id="default-disguise",
                types=("obfuscation",),
                at_least=0.9,  # instructions in disguise, or hidden in characters that nobody sees
                then="deny",
                message="The text hides instructions in a disguise.",
            ),
            ScreenRule(
                id="default-known-bad",
                types=("known_bad",),  # only where the workspace has signature packs
                at_least=0.8,
                then="deny",
                message="The text holds a pattern that is known to be bad.",
            ),
            ScreenRule(id="default-suspicion", types=(*_ATTACKS, "obfuscation"), at_least=0.5, then="flag"),
            ScreenRule(id="default-harm", types=_HARM, at_least=0.5, then="flag"),
            ScreenRule(id="default-secrets", types=("SECRET",), then="redact"),
            ScreenRule(id="default-cards", types=("CREDIT_CARD",), then="redact"),
            ScreenRule(id="default-special-categories", types=_SPECIAL, then="on_premises"),
            ScreenRule(id="default-personal", types=_PERSONAL, then="flag"),
        ),
        output=(
            ScreenRule(
                id="default-leak",
                types=("prompt_leak",),
                at_least=0.8,
                then="deny",
                message="The answer would have revealed internal instructions.",
            ),
            ScreenRule(
                id="default-output-known-bad",
                types=("known_bad",),
                at_least=0.8,
                then="deny",
                message="The answer holds a pattern that is known to be bad.",
            ),
            ScreenRule(id="default-smuggling", types=("obfuscation",), at_least=0.95, then="redact"),
            ScreenRule(id="default-exfiltration", types=("exfiltration",), at_least=0.6, then="redact"),
            ScreenRule(id="default-untrusted-argument", types=("untrusted_argument",), then="flag"),
            ScreenRule(id="default-output-secrets", types=("SECRET",), then="redact"),
            ScreenRule(id="default-output-cards", types=("CREDIT_CARD",), then="redact"),
            ScreenRule(id="default-output-harm", types=_HARM, at_least=0.5, then="flag"),
            ScreenRule(id="default-output-personal", types=_PERSONAL, then="flag"),
        ),
    )
