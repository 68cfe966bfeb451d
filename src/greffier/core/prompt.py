"""A use case's prompt, as released."""

import msgspec

VariableValue = str | int | bool
"""Value of a prompt's variable as workspace files write it."""


def written(value: VariableValue) -> str:
    """A value as it stands in the prompt's text: ``true`` and ``false`` as in the file, whole numbers in digits."""
    return str(value).lower() if isinstance(value, bool) else str(value)


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
