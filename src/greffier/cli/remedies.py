"""What went wrong in a command, said in one place: the message, what to do about it, the exit code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from greffier.cli.output import Exit, fail
from greffier.config.problems import ConfigError
from greffier.config.signing import SignerError


class Wrong(Exception):  # noqa: N818 - carries a message and its remedy to the one place that prints them
    """Something is wrong with what was asked."""

    def __init__(self, message: str, remedy: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.code = code


class Remedy(NamedTuple):
    """What to do about exceptions of some kinds.

    Attributes:
        kinds: Which.
        remedy: What to do.
        code: How the command ends.
        says: The message, around what the exception says.
    """

    kinds: type[Exception] | tuple[type[Exception], ...]
    remedy: str
    code: Exit = Exit.FAILED
    says: str = "{}"


@contextmanager
def explaining(as_json: bool, remedies: Sequence[Remedy]) -> Iterator[None]:
    """Turn what is raised inside into a message, a remedy and an exit code; the first remedy that fits is taken."""
    try:
        yield
    except Wrong as error:
        fail(str(error), error.remedy, code=error.code, as_json=as_json)
    except ConfigError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)
    except SignerError as error:
        fail(error.reason, error.remedy, code=Exit.UNAVAILABLE, as_json=as_json)
    except Exception as error:
        for kinds, remedy, code, says in remedies:
            if isinstance(error, kinds):
                fail(says.format(error), remedy, code=code, as_json=as_json)
        raise
