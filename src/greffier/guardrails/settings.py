"""The part of the workspace in ``guardrails/``: which detectors measure, and what screens do about it."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from greffier.core.settings import Identifier, SecretRef, Settings, ValueOrEnv

Action = Literal["allow", "flag", "redact", "pseudonymise", "on_premises", "require_approval", "escalate", "deny"]
Score = Annotated[float, Meta(ge=0, le=1)]


class ScreenRule(Settings, frozen=True, kw_only=True):
    """The first rule that matches a finding decides what is done about it.

    ``types`` are finding types (``EMAIL``, ``SECRET``, ``prompt_injection``, ``topic:NAME``...) or ``*`` for any.
    ``provenance`` narrows the rule to texts from there (``user``, ``document``, ``tool_output``...).
    """

    id: Identifier
    types: Annotated[tuple[str, ...], Meta(min_length=1)]
    at_least: Score = 0.5
    provenance: tuple[str, ...] = ()
    then: Action
    message: str = ""


class StreamSettings(Settings, frozen=True, kw_only=True):
    """How streamed answers are screened. Text is held back until a window with overlap has passed.

    ``mode``: ``window`` (bounded delay; a refusal is an error within the stream), or ``full`` (nothing leaves before
    the whole answer passed, so a refusal is an HTTP error). ``blocked``: how a blocked answer ends within a stream:
    ``error`` (an error frame, on which every SDK raises), or ``finish`` (a regular end with the finish reason
    ``content_filter``, ``refusal`` in Anthropic's words, for clients that show what came until then).
    """

    mode: Literal["window", "full"] = "window"
    window_chars: Annotated[int, Meta(ge=64, le=65536)] = 256
    overlap_chars: Annotated[int, Meta(ge=32, le=8192)] = 128
    max_delay_ms: Annotated[int, Meta(ge=10, le=60000)] = 500
    blocked: Literal["error", "finish"] = "error"


class LengthLimits(Settings, frozen=True, kw_only=True):
    """How long one text may be; above a limit it is a finding ``length``. Tokens are estimated: four bytes each."""

    max_chars: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_lines: Annotated[int, Meta(ge=1)] | None = None


class FormPattern(Settings, frozen=True, kw_only=True):
    """A pattern (RE2 syntax) that texts of one direction must match, or must not; else a finding ``pattern:NAME``."""

    expression: Annotated[str, Meta(min_length=1, max_length=4096)]
    must: Literal["match", "not_match"] = "match"
    direction: Literal["input", "output"] = "output"
    ignore_case: bool = False


class GroundingSettings(Settings, frozen=True, kw_only=True):
    """What answers may only take from the conversation: quotations and figures.

    Others are findings ``ungrounded_quote`` and ``ungrounded_figure``.
    ``min_words``: shorter quotations are names and terms, and pass. ``sources``: whose texts count; the use case's own
    prompt belongs to ``system``.
    """

    quotes: bool = True
    figures: bool = True
    min_words: Annotated[int, Meta(ge=1, le=100)] = 4
    sources: Annotated[
        tuple[Literal["system", "user", "document", "tool_output", "assistant"], ...], Meta(min_length=1)
    ] = (
        "system",
        "user",
        "document",
        "tool_output",
    )


class StructureSettings(Settings, frozen=True, kw_only=True):
    """The form that texts shall have. Rules decide about the findings.

    ``languages``: ``en``, ``de``, ``fr``, ``es``, ``it``, ``nl``, ``other``; stretches of text in another are findings
    ``language``. ``input`` limits each text of a user, a document or a tool, ``output`` each answer.
    """

    languages: tuple[Literal["en", "de", "fr", "es", "it", "nl", "other"], ...] = ()
    input: LengthLimits | None = None
    output: LengthLimits | None = None
    patterns: dict[Identifier, FormPattern] = {}
    grounding: GroundingSettings | None = None


class ConversationSettings(Settings, frozen=True, kw_only=True):
    """When weak signs over several texts of a conversation add up to a finding ``conversation_risk``.

    A text counts with its highest finding of one of ``types`` from ``from_score`` on; from ``turns`` such texts on, the
    score is ``1 - (1 - weight * s1) * (1 - weight * s2) * ...``.
    """

    types: Annotated[tuple[str, ...], Meta(min_length=1)] = ("prompt_injection", "jailbreak", "indirect_injection")
    from_score: Annotated[float, Meta(gt=0, le=1)] = 0.25
    weight: Annotated[float, Meta(gt=0, le=1)] = 0.6
    turns: Annotated[int, Meta(ge=2, le=1000)] = 2


class ScreenSettings(Settings, frozen=True, kw_only=True):
    """A named set of rules that use cases refer to.

    ``on_unavailable``: what happens when a detector fails. ``by_risk_class`` denies for high risk and limited risk, and
    flags for minimal risk. Writing ``flag`` is legal, and announced at every start.
    ``link_hosts``: hosts that answers may link to (``.example.org`` for all below it); other addresses in answers and
    tool calls are findings of type ``external_link``. Absent: addresses are not looked at; an empty list allows none.
    ``structure``: languages, lengths, patterns and grounding that texts are held to; absent costs nothing.
    ``conversation``: weak signs of an attack over several texts of a request add up; absent costs nothing.
    ``review_wait_s``: how long a request that a rule escalates waits for the reviewer; 0 refuses it at once, with the
    address of the review. ``review_deadline_s``: after that long an undecided review expires, and so does an approval.
    """

    title: str = ""
    detectors: tuple[Identifier, ...] = ()
    input: tuple[ScreenRule, ...] = ()
    output: tuple[ScreenRule, ...] = ()
    on_unavailable: Literal["by_risk_class", "deny", "flag"] = "by_risk_class"
    stream: StreamSettings = StreamSettings()
    spotlight: Literal["delimiters", "datamarking", "off"] = "delimiters"
    canary: bool = True
    output_schema: dict[str, Any] | None = None
    link_hosts: tuple[str, ...] | None = None
    structure: StructureSettings | None = None
    conversation: ConversationSettings | None = None
    review_wait_s: Annotated[int, Meta(ge=0, le=300)] = 0
    review_deadline_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Where ``greffier guard serve`` runs, if detectors shall not run in the gateway: a Unix socket, or a URL.

    ``token``: what ``guard serve --token`` expects. ``deadline_ms``: after that long a detector counts as unavailable,
    and the screen's ``on_unavailable`` decides. ``hedge_after_ms``: a second attempt starts then; the first answer
    counts. ``max_batch``: most texts per call; a longer conversation is sent in several calls side by side.
    """

    socket: str | None = None
    url: ValueOrEnv | None = None
    token: SecretRef | None = None
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 250
    hedge_after_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    max_batch: Annotated[int, Meta(ge=1, le=4096)] = 64
    max_connections: Annotated[int, Meta(ge=1, le=1024)] = 64


class TopicSettings(Settings, frozen=True, kw_only=True):
    """A topic that screens can refer to as ``topic:NAME``: terms are matched as words, ignoring case and accents."""

    title: str
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


class PinnedFile(Settings, frozen=True, kw_only=True):
    """A file beside the workspace, by path and by the digest it was reviewed with; any other content is refused."""

    path: Annotated[str, Meta(min_length=1)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class OnnxSettings(Settings, frozen=True, kw_only=True):
    """A text classifier in ONNX form with its tokenizer (``tokenizer.json``).

    ``labels``: the finding type of each output of the model, in order; empty for the harmless ones. ``max_tokens``: the
    model's window; longer texts are classified in windows that share ``overlap_tokens``, and a text of more than
    ``max_windows`` counts as not measured.
    """

    model: PinnedFile
    tokenizer: PinnedFile
    labels: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    at_least: Score = 0.5
    max_tokens: Annotated[int, Meta(ge=8, le=8192)] = 512
    overlap_tokens: Annotated[int, Meta(ge=0, le=4096)] = 64
    max_windows: Annotated[int, Meta(ge=1, le=4096)] = 64
    max_mib: Annotated[int, Meta(ge=1, le=8192)] = 1024
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class DetectorSettings(Settings, frozen=True, kw_only=True):
    """A detector of your own, which screens name like a built-in one.

    ``kind: http`` posts the texts to ``url``; ``kind: judge`` puts ``question`` to a deployment of the workspace, which
    must be on premises, because texts reach it before any rule decides about them; ``kind: onnx`` runs a model file.
    ``types``: the finding types it may report (a judge reports the first). A text longer than ``max_chars`` counts as
    not measured.
    """

    kind: Literal["http", "judge", "onnx"]
    types: Annotated[tuple[str, ...], Meta(min_length=1)]
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 2000
    max_chars: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    url: ValueOrEnv | None = None
    token: SecretRef | None = None
    deployment: Identifier | None = None
    question: str = ""
    onnx: OnnxSettings | None = None


class SignaturePackSettings(Settings, frozen=True, kw_only=True):
    """A pack of signatures, ``guardrails/packs/NAME.json`` with ``NAME.sig``, and the key that must have signed it.

    ``key``: the maker's public key (P-256) in PEM form.
    """

    key: Annotated[str, Meta(min_length=1, max_length=2000)]


class GuardrailFile(Settings, frozen=True, kw_only=True):
    """A file in ``guardrails/``."""

    screens: dict[Identifier, ScreenSettings] = {}
    topics: dict[Identifier, TopicSettings] = {}
    detectors: dict[Identifier, DetectorSettings] = {}
    signature_packs: dict[Identifier, SignaturePackSettings] = {}
