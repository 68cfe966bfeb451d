"""Ground the conversation: place the use case's prompt, which callers can neither replace nor read."""

from collections.abc import Mapping

from greffier.core.context import Grant
from greffier.core.prompt import Prompt, written
from greffier.core.rulings import Ruling
from greffier.guardrails.prompt import Placed, place_prompt
from greffier.guardrails.screen import ScreenedInput
from greffier.guardrails.settings import ScreenSettings
from greffier.llm.tokens import estimate_text
from greffier.policy.settings import UseCaseSettings


class Grounding:
    """The prompts of one snapshot, by use case."""

    def __init__(
        self,
        use_cases: Mapping[str, UseCaseSettings],
        prompts: Mapping[str, Prompt],
        screens: Mapping[str, ScreenSettings],
    ) -> None:
        self._use_cases = use_cases
        self._prompts = prompts
        self._screens = screens
        self._variables = {
            name: {key: written(value) for key, value in use_case.prompt_variables.items()}
            for name, use_case in use_cases.items()
        }
        self._tokens = {name: estimate_text(prompt.text) for name, prompt in prompts.items()}

    def place(self, screened: ScreenedInput, grant: Grant) -> Ruling[Placed]:
        """Put the prompt of the use case first and mark what is data."""
        use_case = self._use_cases[grant.use_case]
        screen = self._screens[grant.screen]
        return place_prompt(
            screened.request,
            self._prompts[grant.prompt] if grant.prompt else None,
            self._variables[grant.use_case],
            caller_system=use_case.caller_system,
            spotlight=screen.spotlight,
            canary=screen.canary,
        )

    def tokens(self, grant: Grant) -> int:
        """Tokens the prompt adds, roughly."""
        return self._tokens.get(grant.prompt, 0)
