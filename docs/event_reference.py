"""The reference page of what the journal keeps, from the types in ``core/events.py``.

The sentences below belong to fields; a field without one, or a sentence without a field, stops the generation.
"""

import typing

import msgspec

from greffier.core.events import (
    EVENT_VERSION,
    Act,
    Admission,
    AttemptLine,
    Feedback,
    GuardrailLine,
    Outcome,
    PartLine,
    RequestFacts,
    ReviewLine,
    RulingLine,
    canonical,
)

COMMON = {
    "id": "Unique, time-ordered.",
    "ts": "Milliseconds since the epoch, UTC.",
    "tenant": "Owner of the data; absent for acts on the platform itself.",
    "request_id": "The request it belongs to (`x-request-id`); absent for acts of people.",
    "v": f"Version of the format, {EVENT_VERSION} at present; counts incompatible changes.",
}
FIELDS: dict[type[msgspec.Struct], dict[str, str]] = {
    Admission: {
        "facts": "Who asked, for what, under which rules; see *facts*.",
        "rulings": "What each stage ruled so far; see *rulings*.",
        "guardrails": "What the input screen found; see *guardrails*.",
        "parts": "Content kept apart; see *parts*.",
        "reserved_tokens": "Tokens reserved under the limits.",
        "reserved_micro": "Spend reserved, in millionths of the workspace's currency.",
    },
    Outcome: {
        "outcome": "What became of the request.",
        "code": "Error code, where it was not answered; see [errors](errors.md).",
        "rule": "The rule that refused.",
        "facts": "As in an admission, when none precedes it: the request was refused on the way in.",
        "rulings": "What each stage ruled since the admission.",
        "guardrails": "What the output screen found.",
        "attempts": "Calls to deployments, in order; see *attempts*.",
        "parts": "Content kept apart.",
        "deployment": "The deployment that answered.",
        "response_model": "The model name it reported.",
        "finish_reason": "Why the answer ended.",
        "input_tokens": "Prompt tokens not read from a cache.",
        "output_tokens": "Generated tokens.",
        "cached_tokens": "Prompt tokens read from the provider's cache.",
        "tokens_estimated": "True when the provider gave no numbers and we counted.",
        "cost_micro": "Cost in millionths of the workspace's currency.",
        "charged_micro": "What counted against budgets, where that is not the cost: nobody knows what a call used.",
        "output_chars": "Length of the answer in characters.",
        "output_commit": "Salted commitment to the answer.",
        "ai_marked": "Whether the answer was marked as made by AI (AI Act Art. 50); written only when false.",
        "latency_us": "From arrival to the end of the answer, microseconds.",
        "first_token_us": "From arrival to the first token, microseconds.",
        "overhead_us": "Part of the latency that is ours and not the model's, microseconds.",
    },
    Act: {
        "action": "`noun.verb`: `key.create`, `audit.read`, `snapshot.activate` ...",
        "actor": "Who acted.",
        "target": "What was acted on.",
        "reason": "Why, where one was asked for.",
        "details": "References, digests and numbers, never content.",
    },
    Feedback: {
        "actor": "Who judged.",
        "use_case": "The use case of the answer.",
        "rating": "The rating given.",
        "outcome": "Whether the answer served its task.",
        "edited": "Whether the user changed the answer before using it.",
        "reason": "A reason from a list.",
        "parts": "The comment, as content kept apart.",
    },
    RequestFacts: {
        "actor": "Pseudonymous reference of the principal: `key:...`, `sub:...`.",
        "actor_type": "`user`, `service` or `agent`.",
        "authn": "How it was authenticated.",
        "credential": "What limits per key count on: the key and those it was rotated from, or the token's client.",
        "roles": "Roles of the principal.",
        "surface": "Endpoint.",
        "action": "What was asked: `chat`, `embed` ...",
        "use_case": "The governed use case.",
        "use_case_digest": "SHA-256 of the use case as approved.",
        "risk_class": "Its risk class (AI Act).",
        "purpose": "The purpose in force.",
        "lawful_basis": "GDPR article.",
        "bundle": "SHA-256 of the configuration in force.",
        "release": "The release it came from.",
        "policy_rules": "Policy rules that allowed it.",
        "obligations": "What bound the rest of the request.",
        "prompt": "The use case's prompt.",
        "prompt_digest": "SHA-256 of the prompt file.",
        "model": "The model name asked for.",
        "deployment": "The deployment chosen.",
        "provider": "Who runs it.",
        "region": "Where the data went.",
        "why": "Why it was chosen, one sentence.",
        "stream": "Whether the answer was streamed.",
        "params_digest": "SHA-256 of the sampling parameters.",
        "end_user_ref": "Keyed hash of the caller's reference to its end user.",
        "correlation_id": "The caller's own request id.",
        "trace_id": "W3C trace id.",
        "peer": "Network address of the caller.",
        "data_classes": "Classes of data the request may hold, by its use case and by what the screen found.",
        "ts_src": "`unsynchronised` or `unknown` while nobody vouched for the machine's clock; else left out.",
        "review": "What a person decided, where a screen held the request back.",
    },
    ReviewLine: {
        "review": "The review, as `greffier review show` takes it.",
        "status": "What became of it by then; `pending` in the record of the request that opened it.",
        "by": "Who decided.",
        "reason": "Why, in the reviewer's words.",
    },
    RulingLine: {
        "point": "The stage.",
        "verdict": "What it ruled.",
        "rule": "The rule that decided; look it up in the workspace.",
        "us": "How long it took, microseconds.",
        "code": "Error code of a refusal.",
    },
    GuardrailLine: {
        "detector": "Which detector.",
        "type": "What it found.",
        "stage": "Before or after the model.",
        "action": "What the screen did about it.",
        "count": "How often; positions would describe the content and stay out.",
        "score_ppm": "Highest confidence, in millionths.",
        "rule": "The rule or signature.",
    },
    AttemptLine: {
        "deployment": "Which deployment was called.",
        "outcome": "What came of it.",
        "us": "How long it took, microseconds.",
        "code": "Error code of a failure.",
    },
    PartLine: {
        "part": "Which part: `prompt`, `answer`, `feedback`.",
        "store_id": "Where it is kept.",
        "commit": "HMAC-SHA256 of the part under a salt that only the encrypted part holds, hex.",
        "subject_ref": "Pseudonymous reference of the person it is about.",
    },
}
SECTIONS = {
    Admission: ("admission", "Durable before the prompt leaves for a model."),
    Outcome: ("outcome", "Durable before the last byte of the answer leaves for the caller."),
    Act: ("act", "An act of a person or of the platform; reading the evidence is one."),
    Feedback: ("feedback", "A verdict of a user on an answer."),
    RequestFacts: ("facts", "Inside an admission, or inside an outcome that no admission precedes."),
    ReviewLine: ("review", "A person's decision about a request that a screen held back; inside the facts."),
    RulingLine: ("rulings", "One stage's ruling."),
    GuardrailLine: ("guardrails", "Findings of one type from one detector, counted."),
    AttemptLine: ("attempts", "One call to one deployment."),
    PartLine: ("parts", "A piece of content, encrypted and apart, so that it can be deleted while the log verifies."),
}


def events_page() -> str:
    """Every field of every event."""
    example = canonical(Act(id="evt_...", ts=1764000000000, action="key.create", actor="os:root:0", target="key:k_..."))
    lines = [
        "# Events",
        "",
        "Generated by `docs/generate.py` from `src/greffier/core/events.py`; do not edit.",
        "",
        "What the journal keeps, one JSON object per event, and the exact bytes that become a leaf of the Merkle log:",
        "sorted ASCII keys, no white space, UTF-8, integers only (a subset of RFC 8785). A field at its default is",
        "left out. Events hold references, digests, counts and codes, never content. `kind` names the type.",
        "",
        "```json",
        example.decode(),
        "```",
        "",
        "An event type may gain optional fields; a field never changes its meaning.",
        "",
        "## Every event",
        "",
        *_table(Admission, COMMON),
    ]
    for kind, (name, about) in SECTIONS.items():
        heading = f"`kind: {name}`" if kind in {Admission, Outcome, Act, Feedback} else f"*{name}*"
        lines += ["", f"## {heading}", "", about, "", *_table(kind, FIELDS[kind])]
    return "\n".join(lines) + "\n"


def _table(kind: type[msgspec.Struct], sentences: dict[str, str]) -> list[str]:
    hints = typing.get_type_hints(kind)
    fields = [name for name in kind.__struct_encode_fields__ if sentences is COMMON or name not in COMMON]
    named = [name for name in fields if sentences is not COMMON or name in COMMON]
    if sorted(named) != sorted(sentences):
        raise SystemExit(f"{kind.__name__}: describe exactly its fields; differs in {set(named) ^ set(sentences)}")
    rows = [f"| `{name}` | {_type_name(hints[name])} | {sentences[name]} |" for name in sentences]
    return ["| field | type | meaning |", "|---|---|---|", *rows]


def _type_name(hint: object) -> str:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if typing.get_origin(hint) is tuple:
        return f"list of {_type_name(arguments[0])}"
    if typing.get_origin(hint) is dict:
        return "object"
    if arguments:
        return " or ".join(_type_name(argument) for argument in arguments if argument is not type(None))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"*{SECTIONS[hint][0]}*"
    return {str: "text", int: "integer", bool: "boolean"}[hint]  # type: ignore[index]  # all that occur
