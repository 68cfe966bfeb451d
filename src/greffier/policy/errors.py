"""What is wrong with the rules themselves, found before any request is decided."""


class PolicyMistake(Exception):  # noqa: N818 - named for what the author of the rule made; the build stops on it
    """A rule that cannot mean what its author wanted. The message names the rule, the mistake and the remedy.

    Attributes:
        rule: Identifier of the rule.
        reason: What is wrong.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"rule {rule}: {reason}")
        self.rule = rule
        self.reason = reason
