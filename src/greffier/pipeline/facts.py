"""What a request asks for and what it may cost, in the words the stages use."""

import msgspec

from greffier.core.chat import AudioPart, ChatRequest, FilePart, ImagePart, Message
from greffier.core.context import Ask, Grant
from greffier.core.deployment import Price
from greffier.limits.service import Need

_MODALITIES = ((ImagePart, "image"), (AudioPart, "audio"), (FilePart, "file"))


def ask_of(request: ChatRequest) -> Ask:
    """Describe a conversation to policy."""
    return Ask(
        action="chat",
        model=request.model,
        modalities=modalities(request.messages),
        tools=bool(request.tools),
        stream=request.stream,
    )


def modalities(messages: tuple[Message, ...]) -> tuple[str, ...]:
    """Kinds of content besides text, sorted. A surface may decode its own strict subclasses of the parts."""
    kinds = {
        name
        for message in messages
        if isinstance(message.content, tuple)
        for part in message.content
        for kind, name in _MODALITIES
        if isinstance(part, kind)
    }
    return tuple(sorted(kinds))


def capabilities(request: ChatRequest) -> tuple[str, ...]:
    """What a deployment must be able to do to answer."""
    needed = ["chat"]
    if request.tools:
        needed.append("tools")
    pictures = [
        part.image_url.url
        for message in request.messages
        if isinstance(message.content, tuple)
        for part in message.content
        if isinstance(part, ImagePart)
    ]
    if pictures:
        needed.append("images")
        if not all(url[:5].lower() == "data:" for url in pictures):
            needed.append("image_urls")
    if request.response_format and request.response_format.get("type") == "json_schema":
        needed.append("json_schema")
    return tuple(needed)


def answers_asked(request: ChatRequest) -> int:
    """How many answers the caller wants (``n``)."""
    count = request.params.get("n")
    return count if isinstance(count, int) and count > 0 else 1


def need_of(request: ChatRequest, price: Price | None, prompt_tokens: int, output_cap: int) -> Need:
    """Upper bound of what the request can use: the prompt as estimated, and every answer at its cap."""
    output = (request.max_tokens or output_cap) * answers_asked(request)
    return Need(prompt_tokens + output, None if price is None else price.cost(prompt_tokens, output))


def grant_facts(grant: Grant) -> dict[str, object]:
    """What the record says about why it was allowed."""
    obligations = grant.obligations
    bound = [f"region:{region}" for region in obligations.regions]
    if obligations.on_premises_only:
        bound.append("on_premises_only")
    if obligations.human_approval:
        bound.append("human_approval")
    if obligations.logging != "standard":
        bound.append(f"logging:{obligations.logging}")
    return {
        "use_case": grant.use_case,
        "use_case_digest": grant.use_case_digest,
        "risk_class": grant.risk_class,
        "purpose": grant.purpose,
        "lawful_basis": grant.lawful_basis,
        "policy_rules": grant.rules,
        "obligations": tuple(bound),
        "model": grant.model,
    }


_DIGEST_ENCODER = msgspec.json.Encoder(order="sorted")


def params_bytes(request: ChatRequest) -> bytes:
    """Canonical bytes of the sampling parameters, for the record's digest of them."""
    return _DIGEST_ENCODER.encode(
        {
            "params": request.params,
            "max_tokens": request.max_tokens,
            "tools": request.tools,
            "tool_choice": request.tool_choice,
            "response_format": request.response_format,
        }
    )
