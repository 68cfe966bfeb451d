"""What a detection stands for, in the words of OWASP and MITRE ATLAS. Versioned data; never a technique we guess.

Sources: OWASP Top 10 for LLM Applications 2026 (published 2026-08-04; "Hidden Context Exposure" replaces "System
Prompt Leakage", and the order is new). MITRE ATLAS release 2026.09.
"""

import msgspec

OWASP_EDITION = "2026"
ATLAS_VERSION = "2026.09"
ATLAS_URL = "https://atlas.mitre.org/techniques/"

OWASP_LLM = {
    "LLM01:2026": "Prompt Injection",
    "LLM02:2026": "Sensitive Information Disclosure",
    "LLM03:2026": "Excessive Agency",
    "LLM06:2026": "Unbounded Consumption",
    "LLM07:2026": "Misinformation",
    "LLM08:2026": "Hidden Context Exposure",
    "LLM10:2026": "Improper Output Handling",
}
"""The entries that detections refer to."""

ATLAS = {
    "AML.T0034": "Cost Harvesting",
    "AML.T0051": "LLM Prompt Injection",
    "AML.T0051.000": "LLM Prompt Injection: Direct",
    "AML.T0051.001": "LLM Prompt Injection: Indirect",
    "AML.T0053": "AI Agent Tool Invocation",
    "AML.T0054": "LLM Jailbreak",
    "AML.T0056": "Extract LLM System Prompt",
    "AML.T0057": "LLM Data Leakage",
    "AML.T0068": "LLM Prompt Obfuscation",
    "AML.T0077": "LLM Response Rendering",
}
"""The techniques that detections refer to."""


class Kind(msgspec.Struct, frozen=True):
    """What findings of a type are.

    Attributes:
        code: Event code.
        owasp: Entry of the OWASP LLM Top 10, with its year; empty for none.
        atlas: ATLAS techniques.
        data_class: For sensitive data: its class.
    """

    code: str
    owasp: str = ""
    atlas: tuple[str, ...] = ()
    data_class: str = ""


_PERSONAL = Kind("GW-6100", "LLM02:2026", (), "personal")
_SPECIAL = Kind("GW-6101", "LLM02:2026", (), "special_category")
_HARM = Kind("GW-6006")
_TOPIC = Kind("GW-6007")
_UNGROUNDED = Kind("GW-6012", "LLM07:2026")
_FORM = Kind("GW-6013")
_NO_KIND = Kind("GW-6099")

FINDINGS: dict[str, Kind] = {
    "prompt_injection": Kind("GW-6000", "LLM01:2026", ("AML.T0051.000",)),
    "injection": Kind("GW-6000", "LLM01:2026", ("AML.T0051.000",)),
    "indirect_injection": Kind("GW-6001", "LLM01:2026", ("AML.T0051.001",)),
    "jailbreak": Kind("GW-6002", "LLM01:2026", ("AML.T0054",)),
    "prompt_leak": Kind("GW-6003", "LLM08:2026", ("AML.T0056",)),
    "exfiltration": Kind("GW-6004", "LLM10:2026", ("AML.T0057",)),
    "obfuscation": Kind("GW-6005", "LLM01:2026", ("AML.T0068",)),
    "external_link": Kind("GW-6008", "LLM10:2026", ("AML.T0077",)),
    "untrusted_argument": Kind("GW-6009", "LLM03:2026", ("AML.T0053", "AML.T0051.001")),
    "conversation_risk": Kind("GW-6010", "LLM01:2026", ("AML.T0051",)),
    "known_bad": Kind("GW-6011"),
    "ungrounded_quote": _UNGROUNDED,
    "ungrounded_figure": _UNGROUNDED,
    "language": _FORM,
    "length": _FORM,
    "toxicity": _HARM,
    "disallowed": _HARM,
    "disallowed_topic": _HARM,
    "harm": _HARM,
    "detector_unavailable": Kind("GW-6098"),
    "SECRET": Kind("GW-6103", "LLM02:2026", ("AML.T0057",), "secret"),
    "CREDIT_CARD": Kind("GW-6102", "LLM02:2026", (), "payment"),
    **dict.fromkeys(
        ("HEALTH", "RELIGION", "UNION", "ORIENTATION", "POLITICS", "ETHNICITY", "BIOMETRIC", "GENETIC"), _SPECIAL
    ),
}
"""By type of finding. Other types in capitals are personal identifiers; the rest are findings of no known kind."""

REFUSALS: dict[str, Kind] = {
    "GW-4011": Kind("GW-4011"),
    "GW-4031": Kind("GW-4031"),
    "GW-4032": Kind("GW-4032"),
    "GW-4291": Kind("GW-4291", "LLM06:2026", ("AML.T0034",)),
}
"""Refusals that are detections by themselves."""


def kind_of(finding_type: str) -> Kind:
    """What findings of a type are."""
    if finding_type.startswith("topic:"):
        return _TOPIC
    return FINDINGS.get(finding_type) or (_PERSONAL if finding_type.isupper() else _NO_KIND)
