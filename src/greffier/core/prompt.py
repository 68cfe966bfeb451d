"""A use case's prompt, as released."""

import msgspec


class Prompt(msgspec.Struct, frozen=True):
    """A prompt of the workspace.

    Attributes:
        name: Name of the file in ``prompts/`` without its suffix.
        version: From the front matter.
        digest: SHA-256 of the prompt file, hex; stands on the record.
        text: The text; variables are written ``{{name}}``.
        variables: Default value per variable, or None when a use case must give one.
    """

    name: str
    version: int
    digest: str
    text: str
    variables: dict[str, str | None] = {}
