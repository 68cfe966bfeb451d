"""All checks between files, in the order of the folders."""

from greffier.config.checks.copies import check_copies
from greffier.config.checks.guardrails import check_guardrails
from greffier.config.checks.models import check_models
from greffier.config.checks.policies import check_policies
from greffier.config.checks.privacy import check_privacy
from greffier.config.checks.prompts import check_prompts
from greffier.config.checks.sinks import check_sinks
from greffier.config.checks.tenants import check_tenants
from greffier.config.checks.use_cases import check_use_cases
from greffier.config.problems import Problem, in_order
from greffier.config.workspace import Sources

_CHECKS = (
    check_tenants,
    check_use_cases,
    check_models,
    check_policies,
    check_guardrails,
    check_prompts,
    check_sinks,
    check_copies,
    check_privacy,
)


def check(sources: Sources, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems found so far together with those between files, in file order."""
    found = [problem for one in _CHECKS for problem in one(sources)]
    return in_order([*problems, *found])
