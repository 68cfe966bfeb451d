"""Checks of ``guardrails/``: screens that can fire, topics that can match."""

from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import re2

from greffier.config.checks.references import exists
from greffier.config.problems import Path, Problem, closest, did_you_mean, quoted
from greffier.config.workspace import Located, Sources
from greffier.guardrails.ports import Provenance
from greffier.guardrails.settings import DetectorSettings, OnnxSettings, ScreenSettings, TopicSettings

DETECTORS = (
    *("signatures", "identifiers", "secrets", "injection", "topics", "leak", "health"),
    *("injection_model", "names", "toxicity", "disallowed"),
)
TYPES = (
    *("PERSON", "EMAIL", "PHONE", "IBAN", "CREDIT_CARD", "NATIONAL_ID", "TAX_ID", "PASSPORT", "ADDRESS"),
    *("DATE_OF_BIRTH", "IP_ADDRESS", "MAC_ADDRESS", "LICENSE_PLATE", "SECRET"),
    *("HEALTH", "RELIGION", "UNION", "ORIENTATION", "POLITICS", "ETHNICITY", "BIOMETRIC"),
    *("prompt_injection", "jailbreak", "indirect_injection", "obfuscation", "toxicity", "disallowed_topic"),
    *("prompt_leak", "exfiltration", "external_link", "detector_unavailable"),
    *("language", "length", "ungrounded_quote", "ungrounded_figure", "conversation_risk", "untrusted_argument"),
    "known_bad",
)
"""Finding types of the built-in detectors (docs/reference); others come from plugins."""

_TOPIC = "topic:"
_PATTERN = "pattern:"
_ASKED_FOR: dict[str, tuple[str, ...]] = {
    "language": ("structure", "languages"),
    "ungrounded_quote": ("structure", "grounding"),
    "ungrounded_figure": ("structure", "grounding"),
    "conversation_risk": ("conversation",),
}
"""Types that exist only where a key of the screen asks for them."""
_OF_THE_WHOLE = frozenset({"length", "conversation_risk"})
_MAX_PATTERN_MEMORY = 1_048_576
_MISSPELT = 0.8  # this much alike is an error: the rule would silently never fire


def check_guardrails(sources: Sources) -> Iterator[Problem]:
    """Check every screen and every topic."""
    yield from _service(sources)
    for place in sources.screens.values():
        yield from _rules(place, sources)
        yield from _detectors(place, sources)
        if place.value.on_unavailable == "flag":
            yield place.problem(
                ("on_unavailable",),
                "fails_open",
                "Texts pass unscreened while a detector of this screen is unavailable.",
                "Remove 'on_unavailable: flag', unless this was decided.",
                warning=True,
            )
        if place.value.output_schema is not None:
            yield from _output_schema(place, place.value.output_schema)
        if place.value.structure is not None:
            for name, pattern in place.value.structure.patterns.items():
                at = ("structure", "patterns", name, "expression")
                yield from _pattern(place, at, pattern.expression, may_be_empty=pattern.must == "match")
    for topic in sources.topics.values():
        yield from _topic(topic)
    for name, detector in sources.detectors.items():
        yield from _own_detector(name, detector, sources)


def _service(sources: Sources) -> Iterator[Problem]:
    place = sources.settings
    service = place.value.guardrails_service if place else None
    if place is None or service is None:
        return
    if (service.socket is None) == (service.url is None):
        yield place.problem(
            ("guardrails_service",),
            "wrong_value",
            "The guard service is reached by a socket or by a URL.",
            "Write either 'socket: PATH' or 'url: http://HOST:PORT'.",
        )
    if service.hedge_after_ms >= service.deadline_ms:
        yield place.problem(
            ("guardrails_service", "hedge_after_ms"),
            "wrong_value",
            "A second attempt would start only after the deadline.",
            "Make 'hedge_after_ms' smaller than 'deadline_ms'.",
            warning=True,
        )


def _rules(place: Located[ScreenSettings], sources: Sources) -> Iterator[Problem]:
    seen: set[str] = set()
    for side, rules in (("input", place.value.input), ("output", place.value.output)):
        for index, rule in enumerate(rules):
            path: Path = (side, index)
            if rule.id in seen:
                yield place.problem(
                    (*path, "id"), "duplicate_id", f"The screen has two rules '{rule.id}'.", "Rename one of the two."
                )
            seen.add(rule.id)
            if side == "output" and rule.then == "on_premises":
                yield place.problem(
                    (*path, "then"),
                    "misplaced_action",
                    "An output rule cannot choose where the model runs: the answer is there already.",
                    "Use 'on_premises' under 'input'; here use redact, deny, escalate or flag.",
                )
            for position, finding in enumerate(rule.types):
                yield from _type(place, (*path, "types", position), finding, sources)
                if finding in _OF_THE_WHOLE and rule.then in {"redact", "pseudonymise"}:
                    yield place.problem(
                        (*path, "then"),
                        "misplaced_action",
                        f"{quoted(finding)} is about the whole: there is no part to redact.",
                        "Use deny, escalate or flag.",
                    )
            for position, provenance in enumerate(rule.provenance):
                known = get_args(Provenance)
                yield from exists(place, (*path, "provenance", position), "provenance", provenance, known)


def _type(place: Located[ScreenSettings], path: Path, finding: str, sources: Sources) -> Iterator[Problem]:
    own = {kind for detector in sources.detectors.values() for kind in detector.value.types}
    own.update(signature.type for pack in sources.pack_contents.values() for signature in pack.signatures)
    if finding == "*" or finding in TYPES or finding in own:
        keys = _ASKED_FOR.get(finding, ())
        asked: Any = place.value
        for key in keys:
            asked = getattr(asked, key, None)
        if keys and not asked:
            yield place.problem(
                path,
                "unmeasured_type",
                f"Nothing measures {quoted(finding)}: the screen has no '{'.'.join(keys)}'.",
                f"Add it ('{keys[0]}: ...'), or remove the type.",
            )
        return
    if finding.startswith(_TOPIC):
        name = finding.removeprefix(_TOPIC)
        if name != "*" and "guardrails" not in sources.incomplete:
            yield from exists(place, path, "topic", name, sources.topics)
        return
    if finding.startswith(_PATTERN):
        name = finding.removeprefix(_PATTERN)
        structure = place.value.structure
        if name != "*":
            yield from exists(place, path, "pattern", name, {} if structure is None else structure.patterns)
        return
    close = closest(finding.replace("-", "_"), TYPES, cutoff=_MISSPELT)
    yield place.problem(
        path,
        "unknown_type",
        f"No built-in detector finds {quoted(finding)}.",
        f"Did you mean '{close}'?" if close else "Make sure that a plugin reports it.",
        warning=not close,
    )


def _own_detector(name: str, place: Located[DetectorSettings], sources: Sources) -> Iterator[Problem]:
    detector = place.value
    if name in DETECTORS:
        yield place.problem(
            (), "duplicate_id", f"There is a built-in detector '{name}'.", "Choose another name.", at_key=True
        )
    if detector.kind == "http" and detector.url is None:
        yield place.problem((), "wrong_value", "An HTTP detector needs 'url'.", "Write 'url: https://HOST/PATH'.")
    if (detector.kind == "onnx") != (detector.onnx is not None):
        yield place.problem(
            (), "wrong_value", "A detector of kind 'onnx', and no other, needs 'onnx'.", "Name its model and tokenizer."
        )
    elif detector.onnx is not None:
        yield from _onnx(place, detector, detector.onnx)
    if detector.kind == "judge":
        if detector.deployment is None or not detector.question.strip():
            yield place.problem(
                (), "wrong_value", "A judge needs 'deployment' and 'question'.", "Say who is asked, and what."
            )
        elif "models" not in sources.incomplete:
            yield from exists(place, ("deployment",), "deployment", detector.deployment, sources.deployments)
            asked = sources.deployments.get(detector.deployment)
            if asked is not None and asked.value.location != "on_premises":
                yield place.problem(
                    ("deployment",),
                    "judge_outside",
                    "Texts would reach an external model before any rule decides about them.",
                    "Use a deployment on premises.",
                )


def _onnx(place: Located[DetectorSettings], detector: DetectorSettings, onnx: OnnxSettings) -> Iterator[Problem]:
    for index, label in enumerate(onnx.labels):
        if label and label not in detector.types:
            yield place.problem(
                ("onnx", "labels", index),
                "wrong_value",
                f"The detector does not list {quoted(label)} among its types.",
                "Add it to 'types', or leave the label empty if it means that nothing was found.",
            )
    for kind in detector.types:
        if kind not in onnx.labels:
            yield place.problem(
                ("types",), "wrong_value", f"No label of the model stands for {quoted(kind)}.", "Correct 'labels'."
            )
    if onnx.overlap_tokens * 2 > onnx.max_tokens:
        yield place.problem(
            ("onnx", "overlap_tokens"),
            "wrong_value",
            "Windows would share more than half of their tokens.",
            "Make 'overlap_tokens' at most half of 'max_tokens'.",
        )


def _detectors(place: Located[ScreenSettings], sources: Sources) -> Iterator[Problem]:
    for index, name in enumerate(place.value.detectors):
        if name not in DETECTORS and name not in sources.detectors:
            yield place.problem(
                ("detectors", index),
                "unknown_detector",
                f"{quoted(name)} is no built-in detector.",
                f"{did_you_mean(name, DETECTORS)} The gateway will not start unless a plugin provides it.",
                warning=True,
            )


def _output_schema(place: Located[ScreenSettings], schema: dict[str, Any]) -> Iterator[Problem]:
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        yield place.problem(
            ("output_schema", *error.instance_path),
            "wrong_schema",
            f"This is not a valid JSON Schema: {error.message[:200]}.",
            "Correct the schema (draft 2020-12).",
        )
    for path, target in _foreign_references(schema, ()):
        yield place.problem(
            ("output_schema", *path),
            "foreign_schema",
            f"The schema refers to {quoted(target)} outside itself.",
            "Copy it under '$defs' and refer to '#/$defs/NAME'; nothing is fetched.",
        )


def _foreign_references(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(item, str) and not item.startswith("#"):
                yield (*path, key), item
            yield from _foreign_references(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _foreign_references(item, (*path, index))


def _topic(place: Located[TopicSettings]) -> Iterator[Problem]:
    topic = place.value
    if not topic.terms and not topic.patterns and not topic.examples:
        yield place.problem(
            (), "empty_topic", "The topic has no terms, patterns or examples.", "Add at least one term.", at_key=True
        )
    for index, term in enumerate(topic.terms):
        if not term.strip():
            yield place.problem(("terms", index), "wrong_value", "The term is empty.", "Write a word or remove it.")
    for index, pattern in enumerate(topic.patterns):
        yield from _pattern(place, ("patterns", index), pattern)


def _pattern(place: Located[Any], path: Path, pattern: str, *, may_be_empty: bool = False) -> Iterator[Problem]:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        yield place.problem(
            path,
            "wrong_pattern",
            f"RE2 cannot use this pattern: {reason}.",
            "RE2 has no look-around and no back-references (it never takes exponential time); rewrite the pattern.",
        )
    else:
        if not may_be_empty and compiled.search("") is not None:
            yield place.problem(
                path,
                "wrong_pattern",
                "The pattern matches the empty text, so it would match everywhere.",
                "Make at least one character obligatory.",
            )
