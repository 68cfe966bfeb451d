"""Checks of ``prompts/`` and of the variables that use cases give them."""

import re
from collections.abc import Iterator

from greffier.config.checks.references import exists
from greffier.config.problems import Mark, Problem, dotted, quoted
from greffier.config.settings import VariableSettings
from greffier.config.workspace import Located, PromptSource, Sources
from greffier.core.prompt import VariableValue, written
from greffier.policy.settings import UseCaseSettings

_VARIABLE = re.compile(r"\{\{([^{}\n]{0,200})\}\}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def check_prompts(sources: Sources) -> Iterator[Problem]:
    """Check every prompt, and that every use case gives its prompt what it asks for."""
    for prompt in sources.prompts.values():
        yield from _text(prompt)
        for name, variable in prompt.value.front.variables.items():
            if variable.default is not None:
                reason = _unfit(variable, variable.default)
                if reason:
                    path = ("variables", name, "default")
                    yield prompt.problem(path, "wrong_variable", f"The default {reason}.", "Correct the default.")
    for use_case in sources.use_cases.values():
        yield from _variables(use_case, sources)


def _text(place: Located[PromptSource]) -> Iterator[Problem]:
    prompt = place.value
    declared = prompt.front.variables
    used: set[str] = set()
    if not prompt.text.strip():
        yield place.problem((), "empty_prompt", "The prompt has no text.", "Write it after the second '---'.")
    for number, line in enumerate(place.document.lines[prompt.text_line - 1 :], prompt.text_line):
        for match in _VARIABLE.finditer(line):
            name = match.group(1)
            used.add(name.strip())
            if name not in declared:
                spaced = name.strip() in declared
                yield _at(
                    place,
                    Mark(number, match.start() + 1),
                    line,
                    f"The variable {quoted(match.group())} is not declared.",
                    f"Write {{{{{name.strip()}}}}} without spaces."
                    if spaced
                    else "Declare it under 'variables' in the front matter, or correct its name.",
                )
    for name in declared:
        if name not in used:
            yield place.problem(
                ("variables", name),
                "unused_variable",
                f"The text never uses the variable '{name}'.",
                f"Write {{{{{name}}}}} in the text, or remove the variable.",
                at_key=True,
                warning=True,
            )


def _at(place: Located[PromptSource], mark: Mark, line: str, message: str, remedy: str) -> Problem:
    return Problem(
        code="unknown_variable",
        file=place.document.file,
        line=mark.line,
        column=mark.column,
        path=dotted(("text",)),
        message=message,
        remedy=remedy,
        excerpt=line[:200],
    )


def _variables(place: Located[UseCaseSettings], sources: Sources) -> Iterator[Problem]:
    use_case = place.value
    given = use_case.prompt_variables
    if use_case.prompt is None:
        if given:
            yield place.problem(
                ("prompt_variables",),
                "misplaced_key",
                "The use case has no prompt to give variables to.",
                "Name the prompt, or remove 'prompt_variables'.",
                at_key=True,
            )
        return
    prompt = sources.prompts.get(use_case.prompt)
    if prompt is None:
        if "prompts" not in sources.incomplete:
            yield from exists(place, ("prompt",), "prompt", use_case.prompt, sources.prompts)
        return
    variables = prompt.value.front.variables
    for name, value in given.items():
        if name not in variables:
            yield from exists(place, ("prompt_variables", name), "variable", name, variables, at_key=True)
            continue
        reason = _unfit(variables[name], value)
        if reason:
            path = ("prompt_variables", name)
            yield place.problem(path, "wrong_variable", f"The value {reason}.", f"See {prompt.document.file}.")
    missing = [name for name, variable in variables.items() if variable.default is None and name not in given]
    if missing:
        yield place.problem(
            ("prompt",),
            "missing_variable",
            f"The prompt '{use_case.prompt}' needs a value for: {', '.join(missing)}.",
            "Give it under 'prompt_variables', or give the variable a default in the prompt.",
        )


def _unfit(variable: VariableSettings, value: VariableValue) -> str:
    text = written(value)
    if variable.type == "string" and not isinstance(value, str):
        return "is not a text; put it in quotes"
    if len(text) > variable.max_length:
        return f"has {len(text)} characters, and {variable.max_length} are allowed"
    if variable.type == "integer" and not _INTEGER.fullmatch(text):
        return "is not a whole number"
    if variable.type == "boolean" and text not in {"true", "false"}:
        return "is neither true nor false"
    choices = [written(choice) for choice in variable.choices]
    if choices and text not in choices:
        return f"is not one of: {', '.join(choices)}"
    return ""
