"""Which deployments may see a request at all. Everything later (choice, retry, fallback) draws from this set only."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from greffier.core.context import Grant
from greffier.core.deployment import Deployment
from greffier.core.errors import Code
from greffier.core.rulings import Deny

Cause = Literal["on_premises_only", "region", "data_class", "capability", "context", "drained"]


class RouteNeeds(msgspec.Struct, frozen=True):
    """What the request needs from a deployment, beyond what the grant demands.

    Attributes:
        capabilities: For example ``chat``, ``tools``, ``images``.
        data_classes: Classes of data the input screen found and left in the request.
        on_premises_only: The input screen demands our own machines.
        tokens: Prompt and answer together; 0 when unknown.
        parameters: Non-standard request parameters in use; a deployment must let them through.
        sticky_key: Keeps a conversation or user on one deployment where the model is sticky; empty for none.
    """

    capabilities: tuple[str, ...] = ("chat",)
    data_classes: tuple[str, ...] = ()
    on_premises_only: bool = False
    tokens: int = 0
    parameters: tuple[str, ...] = ()
    sticky_key: str = ""


class Exclusion(msgspec.Struct, frozen=True):
    """Why a deployment may not see a request."""

    deployment: str
    cause: Cause
    reason: str


def exclusions(deployment: Deployment, grant: Grant, needs: RouteNeeds) -> list[Exclusion]:
    """Every reason against a deployment; none means it is permitted."""
    found: list[Exclusion] = []
    name = deployment.name
    obligations = grant.obligations
    if (obligations.on_premises_only or needs.on_premises_only) and deployment.location != "on_premises":
        found.append(Exclusion(name, "on_premises_only", "external, and the request must stay on our own machines"))
    if obligations.regions and deployment.region not in obligations.regions:
        found.append(Exclusion(name, "region", f"in region {deployment.region}, which the use case does not allow"))
    found += [
        Exclusion(name, "data_class", f"may not process data of the class {data_class}")
        for data_class in needs.data_classes
        if data_class not in deployment.data_classes
    ]
    found += [
        Exclusion(name, "capability", f"cannot do {capability}")
        for capability in needs.capabilities
        if capability not in deployment.capabilities
    ]
    found += [
        Exclusion(name, "capability", f"does not take the parameter {parameter}")
        for parameter in needs.parameters
        if parameter not in deployment.extra_parameters
    ]
    if deployment.context_tokens is not None and needs.tokens > deployment.context_tokens:
        found.append(Exclusion(name, "context", f"takes at most {deployment.context_tokens} tokens"))
    return found


def refusal(model: str, found: Iterable[Exclusion], needs: RouteNeeds) -> Deny:
    """The refusal when no deployment is permitted: a specific code where one cause explains everything."""
    causes = {exclusion.cause for exclusion in found}
    if causes == {"region"}:
        return Deny(
            Code.REGION_DENIED,
            "route:region",
            f"No deployment of {model} lies in a region that the use case allows.",
            param="model",
        )
    if causes == {"capability"}:
        return Deny(
            Code.UNSUPPORTED_PARAMETER,
            "route:capability",
            f"No deployment of {model} can do all of: {', '.join((*needs.capabilities, *needs.parameters))}.",
            "Ask for another model that GET /v1/models lists, or leave the feature out.",
            param="model",
        )
    if causes == {"context"}:
        return Deny(
            Code.CONTEXT_LENGTH_EXCEEDED,
            "route:context",
            f"The request may need {needs.tokens} tokens, more than any deployment of {model} takes.",
            param="messages",
        )
    if causes == {"drained"}:
        return Deny(
            Code.NO_HEALTHY_DEPLOYMENT,
            "route:drained",
            f"All deployments of {model} are drained (weight 0).",
            "Ask the operator to give a deployment of the model some weight.",
        )
    return Deny(
        Code.NO_PERMITTED_DEPLOYMENT,
        "route:permitted",
        f"No deployment of {model} may process this request: {_because(causes)}.",
    )


_BECAUSE: dict[Cause, str] = {
    "on_premises_only": "it must stay on our own machines",
    "data_class": "it holds data of a class they may not process",
    "region": "they lie in regions the use case does not allow",
    "capability": "they lack a capability it needs",
    "context": "it is too long for them",
    "drained": "they are drained",
}


def _because(causes: set[Cause]) -> str:
    return ", or ".join(sentence for cause, sentence in _BECAUSE.items() if cause in causes)
