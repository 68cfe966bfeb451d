"""How many tokens a text is, without the model's tokenizer: for reservations, and where a server does not say.

No tokenizer is downloaded. The estimate weighs what tokenizers treat alike: ASCII letters, digits and signs, and other
characters by the length of their UTF-8 form. Measured on the first article of the Universal Declaration of Human Rights
in 15 languages and on code, JSON, numbers, Base64 and emoji, as a multiple of the true count (o200k and cl100k,
tests/unit/llm/test_tokens.py): Western European languages and code 0.8 to 1.3, Polish and Finnish 0.6 to 0.8, JSON and
numbers 0.8 to 0.9, Chinese and Japanese 0.7 to 1.0, other scripts 0.5 to 2.6, depending on the tokenizer's age. Small
vocabularies need up to three times as many tokens for scripts other than Latin.
"""

import string

import msgspec

from greffier.core.chat import ChatRequest, ChatResponse, ImagePart, Message, TextPart, Usage

_CHARS_PER_TOKEN = 4
_FRAMING = 3
_TOO_FAR_OFF = 1.5  # the estimate's own error is less for nearly all texts; n answers counted as one are off by n
_IMAGE_TOKENS = 765  # OpenAI's count for one 1024x1024 image in high detail


_LETTERS = (string.ascii_letters + string.whitespace).encode()
_HIGH = bytes(range(0x80, 0x100))
_ALL_BUT_LEADS = {
    length: bytes(byte for byte in range(256) if byte not in leads)
    for length, leads in ((2, range(0xC2, 0xE0)), (3, range(0xE0, 0xF0)), (4, range(0xF0, 0xF5)))
}
_OPAQUE_WORD = 24  # a mean word longer than this is Base64 or the like, which tokenizers cut short

# Hundredths of a token per character.
_WEIGHT_LETTER = 23
_WEIGHT_OPAQUE = 45
_WEIGHT_SIGN = 55
_WEIGHT_BY_LENGTH = {2: 55, 3: 85, 4: 180}


def estimate_text(text: str) -> int:
    """Tokens of a text; at least one unless it is empty. Linear in its length, and a few microseconds per kilobyte."""
    data = text.encode("utf-8", "surrogatepass")
    rest = data.translate(None, _LETTERS)
    letters = len(data) - len(rest)
    opaque = letters > _OPAQUE_WORD * (data.count(b" ") + data.count(b"\n") + 1)
    hundredths = letters * (_WEIGHT_OPAQUE if opaque else _WEIGHT_LETTER)
    if rest:
        signs = len(rest.translate(None, _HIGH))
        hundredths += signs * _WEIGHT_SIGN
        if signs != len(rest):
            for length, weight in _WEIGHT_BY_LENGTH.items():
                hundredths += len(rest.translate(None, _ALL_BUT_LEADS[length])) * weight
    return -(-hundredths // 100)


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


def is_doubtful(reported: Usage | None, answers: int) -> bool:
    """Whether what a server says an answer used has to be held against our own count.

    llama.cpp counts one answer where several (``n``) were asked for, and some servers say zero: what they leave out
    would be neither paid for nor held to a limit.
    """
    return reported is None or answers > 1 or not reported.output_tokens or not reported.prompt_tokens


def whole_usage(reported: Usage | None, estimated: Usage) -> Usage:
    """What an answer used: as reported, unless that cannot be all of it."""
    if reported is None:
        return estimated
    whole = reported
    if not reported.prompt_tokens:
        whole = msgspec.structs.replace(whole, input_tokens=estimated.input_tokens, estimated=True)
    if estimated.output_tokens > _TOO_FAR_OFF * reported.output_tokens:
        whole = msgspec.structs.replace(whole, output_tokens=estimated.output_tokens, estimated=True)
    return whole


def estimate_ascii(chars: int) -> int:
    """Tokens of so many ASCII characters of prose, where the text itself was not kept."""
    return -(-chars // _CHARS_PER_TOKEN)
