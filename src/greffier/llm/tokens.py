"""How many tokens a text is, without the model's tokenizer: for reservations, and where a server does not say.

No tokenizer is downloaded, so this is an estimate: four bytes of UTF-8 per token, and three tokens of framing per
message. Common byte-pair tokenizers lie within about a third of it for European languages.
"""

from greffier.core.chat import ChatRequest, ChatResponse, ImagePart, Message, TextPart, Usage

_BYTES_PER_TOKEN = 4
_FRAMING = 3
_IMAGE_TOKENS = 765  # OpenAI's count for one 1024x1024 image in high detail


def estimate_text(text: str) -> int:
    """Tokens of a text; at least one unless it is empty."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_message(message: Message) -> int:
    """Tokens of one turn, its tool calls and images included."""
    tokens = _FRAMING
    if isinstance(message.content, str):
        tokens += estimate_text(message.content)
    else:
        for part in message.content or ():
            if isinstance(part, TextPart):
                tokens += estimate_text(part.text)
            elif isinstance(part, ImagePart):
                tokens += _IMAGE_TOKENS
    for call in message.tool_calls or ():
        tokens += estimate_text(call.function.name) + estimate_text(call.function.arguments)
    return tokens


def estimate_prompt(request: ChatRequest) -> int:
    """Tokens of a whole conversation with the tools it offers."""
    tokens = sum(map(estimate_message, request.messages)) + _FRAMING
    for tool in request.tools:
        spec = tool.function
        tokens += estimate_text(spec.name) + estimate_text(spec.description or "")
        tokens += estimate_text(str(spec.parameters)) if spec.parameters else 0
    return tokens


def estimate_usage(request: ChatRequest, response: ChatResponse) -> Usage:
    """Usage of an answer whose server gave no numbers."""
    output = sum(estimate_message(choice.message) - _FRAMING for choice in response.choices)
    return Usage(input_tokens=estimate_prompt(request), output_tokens=output, estimated=True)


def estimate_stream_usage(request: ChatRequest, generated_chars: int) -> Usage:
    """Usage of a stream whose server gave no numbers, or that ended early."""
    output = -(-generated_chars // _BYTES_PER_TOKEN)
    return Usage(input_tokens=estimate_prompt(request), output_tokens=output, estimated=True)
